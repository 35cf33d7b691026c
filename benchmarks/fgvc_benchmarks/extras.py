"""What the suites need beyond the runtime, and the sentence for people who do not have it."""

from __future__ import annotations

import importlib.util

from fgvc_deploy.errors import BackendError


def require(*modules: str) -> None:
    """Raise BackendError with the command that installs them unless all these modules can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendError(
            f"this benchmark needs {' and '.join(missing)}, not installed here; "
            "install with `pip install 'fgvc-deploy[bench]'`."
        )
