"""The table of propagation backends: what each needs, and how to get it.  No arithmetic here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.propagation.base import PropagationBackend
from fgvc_deploy.propagation.threads import worker_count
from fgvc_deploy.settings import PropagationSettings


@dataclass(frozen=True, slots=True)
class PropagationEntry:
    """One row: a backend's name, the module and class that implement it, and how to mend its absence."""

    name: str
    module: str
    attribute: str
    summary: str
    mend: str
    check: Callable[[], str | None]


def _always() -> str | None:
    return None


def _native() -> str | None:
    try:
        from fgvc_kernels import native
    except ImportError as error:
        return f"the native kernel cannot be imported ({error})"
    usable, reason = native.available()
    return None if usable else reason


# In order of preference for `auto`.
PROPAGATION_BACKENDS: tuple[PropagationEntry, ...] = (
    PropagationEntry(
        name="native",
        module="fgvc_deploy.propagation.native",
        attribute="NativeBackend",
        summary="C++ kernels for this processor",
        mend="install a C++ compiler (apt-get install g++) and reinstall fgvc-deploy",
        check=_native,
    ),
    PropagationEntry(
        name="numpy",
        module="fgvc_deploy.propagation.tiled",
        attribute="TiledBackend",
        summary="NumPy tiles; runs everywhere",
        mend="pip install fgvc-deploy",
        check=_always,
    ),
)


def propagation_names() -> tuple[str, ...]:
    """Names that `create_propagation` accepts beside `auto`."""
    return tuple(entry.name for entry in PROPAGATION_BACKENDS)


def create_propagation(name: str, settings: PropagationSettings, threads: int | None = None) -> PropagationBackend:
    """Make the propagation backend `name`, or the first that runs here for `auto`.

    Coarse-to-fine is a mode of the bundle's settings, never chosen silently.  Raises InputError for an unknown name
    and BackendError, with the command that mends it, for one that cannot run here.
    """
    if settings.mode == "coarse_to_fine":
        from fgvc_deploy.propagation.coarse_to_fine import CoarseToFineBackend

        return CoarseToFineBackend(
            scale=settings.coarse_scale,
            coarse_radius=settings.coarse_radius,
            fine_radius=settings.fine_radius,
            threads=worker_count(threads),
        )
    entry = _pick(name)
    backend: PropagationBackend = getattr(importlib.import_module(entry.module), entry.attribute)(
        threads=worker_count(threads)
    )
    return backend


def _pick(name: str) -> PropagationEntry:
    if name == "auto":
        return next(entry for entry in PROPAGATION_BACKENDS if entry.check() is None)
    for entry in PROPAGATION_BACKENDS:
        if entry.name == name:
            reason = entry.check()
            if reason is not None:
                raise BackendError(f"propagation backend '{name}' cannot run here: {reason}; {entry.mend}")
            return entry
    raise InputError(
        f"no propagation backend is called '{name}'; choose auto or one of {', '.join(propagation_names())}"
    )
