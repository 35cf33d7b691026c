"""The command line.  Verbs are modules beside this one; each imports what is heavy inside its function."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command `fgvc-deploy`; `arguments` replaces sys.argv[1:]."""
    try:
        # Inside, so that Ctrl-C during the imports prints no traceback either.
        from fgvc_deploy.cli import app

        app.main(arguments)
    except KeyboardInterrupt:
        print("fgvc-deploy: stopped; nothing is kept.", file=sys.stderr)
        sys.exit(130)
