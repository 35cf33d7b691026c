"""The table of propagation backends: what each needs, and how to get it.  No arithmetic here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.propagation.base import PropagationBackend
from fgvc_deploy.propagation.threads import worker_count
from fgvc_deploy.settings import PropagationSettings


class Check(Protocol):
    """Whether a backend can run here."""

    def __call__(self, bundle: Bundle | None = None) -> str | None:
        """Why it cannot and what mends that, or None; a backend that lies in the bundle cannot without one."""
        ...


@dataclass(frozen=True, slots=True)
class PropagationEntry:
    """One row: a backend's name, the module and callable that make it, and whether it can run here.

    The callable takes the keyword `threads`, and before it the bundle when `in_bundle`.
    """

    name: str
    module: str
    attribute: str
    summary: str
    check: Check
    in_bundle: bool = False


def _always(bundle: Bundle | None = None) -> str | None:
    return None


def _onnx(bundle: Bundle | None = None) -> str | None:
    from fgvc_deploy.propagation.onnx_graph import obstacle

    return obstacle(bundle)


def _native(bundle: Bundle | None = None) -> str | None:
    try:
        from fgvc_kernels import native
    except ImportError as error:
        return f"the native kernel cannot be imported ({error}); reinstall fgvc-deploy"
    # Several things may be missing (a build, an instruction set that was asked for), so the reason brings its mend.
    usable, reason = native.available()
    return None if usable else reason.removesuffix(".")


# In order of preference for `auto`.
PROPAGATION_BACKENDS: tuple[PropagationEntry, ...] = (
    PropagationEntry(
        name="native",
        module="fgvc_deploy.propagation.native",
        attribute="NativeBackend",
        summary="C++ kernels for this processor",
        check=_native,
    ),
    PropagationEntry(
        name="onnx",
        module="fgvc_deploy.propagation.onnx_graph",
        attribute="create",
        summary="the bundle's portable graph in ONNX Runtime",
        check=_onnx,
        in_bundle=True,
    ),
    PropagationEntry(
        name="numpy",
        module="fgvc_deploy.propagation.tiled",
        attribute="TiledBackend",
        summary="NumPy tiles; runs everywhere",
        check=_always,
    ),
)


def propagation_names() -> tuple[str, ...]:
    """Names that `create_propagation` accepts beside `auto`."""
    return tuple(entry.name for entry in PROPAGATION_BACKENDS)


def create_propagation(
    name: str, settings: PropagationSettings, threads: int | None = None, bundle: Bundle | None = None
) -> PropagationBackend:
    """Make the propagation backend `name`, or the first that runs here for `auto`.

    `bundle` is needed by backends that lie in it.  Coarse-to-fine is a mode of the bundle's settings, never chosen
    silently; `name` is then what matches its coarse cells.  Raises InputError for an unknown name and BackendError,
    with the command that mends it, for one that cannot run here.
    """
    entry = _pick(name, bundle)
    make = getattr(importlib.import_module(entry.module), entry.attribute)
    backend: PropagationBackend = make(*([bundle] if entry.in_bundle else []), threads=worker_count(threads))
    return _coarse_to_fine(settings, backend, threads) if settings.mode == "coarse_to_fine" else backend


def _coarse_to_fine(
    settings: PropagationSettings, coarse: PropagationBackend, threads: int | None
) -> PropagationBackend:
    from fgvc_deploy.propagation.coarse_to_fine import CoarseToFineBackend

    return CoarseToFineBackend(
        scale=settings.coarse_scale,
        coarse_radius=settings.coarse_radius,
        fine_radius=settings.fine_radius,
        threads=worker_count(threads),
        coarse=coarse,
    )


def _pick(name: str, bundle: Bundle | None) -> PropagationEntry:
    if name == "auto":
        return next(entry for entry in PROPAGATION_BACKENDS if entry.check(bundle) is None)
    for entry in PROPAGATION_BACKENDS:
        if entry.name == name:
            reason = entry.check(bundle)
            if reason is not None:
                raise BackendError(f"propagation backend '{name}' cannot run here: {reason}.")
            return entry
    raise InputError(
        f"no propagation backend is called '{name}'; choose auto or one of {', '.join(propagation_names())}"
    )
