"""The command line.  Verbs are modules beside this one; each imports what is heavy inside its function."""

from fgvc_deploy.cli.app import main

__all__ = ["main"]
