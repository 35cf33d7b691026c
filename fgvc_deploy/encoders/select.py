"""The table of encoder backends: what each needs, how to get it, and choosing one for a bundle."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import cast

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.encoders.race import fastest
from fgvc_deploy.errors import BackendError, InputError


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """One row of the table.

    `target` is the artefact it runs; `module` has `create(bundle, *, threads, precision)`; `needs` is the import name
    of the package it stands on, and `mend` the command that installs that.
    """

    name: str
    target: str
    module: str
    needs: str
    mend: str


# In order of preference for `auto` between backends of about the same speed.
ENCODER_BACKENDS: tuple[EncoderEntry, ...] = (
    EncoderEntry(
        name="onnxruntime",
        target="onnx",
        module="fgvc_deploy.encoders.onnxruntime",
        needs="onnxruntime",
        mend="pip install 'fgvc-deploy[cpu]'",
    ),
    EncoderEntry(
        name="winograd",
        target="winograd",
        module="fgvc_deploy.encoders.winograd",
        needs="onnxruntime",
        mend="pip install 'fgvc-deploy[cpu]'",
    ),
    EncoderEntry(
        name="mnn",
        target="mnn",
        module="fgvc_deploy.encoders.mnn",
        needs="MNN",
        mend="pip install 'fgvc-deploy[cpu]'",
    ),
)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run here; `reason` is None when it can, else one sentence with the mend."""

    entry: EncoderEntry
    reason: str | None


def available(bundle: Bundle | None = None) -> list[Availability]:
    """Every backend of the table in order, judged by what is installed and, when given, by what the bundle holds."""
    return [Availability(entry, _obstacle(entry, bundle, None)) for entry in ENCODER_BACKENDS]


def create(
    bundle: Bundle, name: str = "auto", *, threads: int | None = None, precision: str = "fp32"
) -> EncoderBackend:
    """Make the backend called `name`, or for `auto` the fastest that can run this bundle here.

    Where several can, each encodes a small frame first (`race.py`), so on a busy machine `auto` may choose
    differently; their features differ by rounding.
    `threads`: how many threads an operator may use, None for the runtime's own choice.
    Raises `InputError` for an unknown name, `BackendError` when it cannot run here and says what mends it,
    `BundleError` when the bundle lacks its artefact.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}.")
    if name != "auto":
        return _make(_entry(name), bundle, threads, precision)
    candidates, obstacles = _candidates(bundle, threads, precision)
    if not candidates:
        raise BackendError("No encoder backend can run this bundle here. " + " ".join(obstacles))
    return candidates[0] if len(candidates) == 1 else fastest(candidates)


def _candidates(bundle: Bundle, threads: int | None, precision: str) -> tuple[list[EncoderBackend], list[str]]:
    """Every backend that can be made, and why the others cannot."""
    candidates, obstacles = [], []
    for entry in ENCODER_BACKENDS:
        obstacle = _obstacle(entry, bundle, precision)
        try:
            if obstacle is None:
                candidates.append(_make(entry, bundle, threads, precision))
        except BackendError as error:
            obstacle = f"{entry.name}: {error}"
        obstacles += [obstacle] if obstacle else []
    return candidates, obstacles


def _entry(name: str) -> EncoderEntry:
    for entry in ENCODER_BACKENDS:
        if entry.name == name:
            return entry
    known = ", ".join(["auto"] + [entry.name for entry in ENCODER_BACKENDS])
    raise InputError(f"There is no encoder backend {name!r}; choose one of: {known}.")


def _obstacle(entry: EncoderEntry, bundle: Bundle | None, precision: str | None) -> str | None:
    if importlib.util.find_spec(entry.needs) is None:
        return f"{entry.name}: the package {entry.needs} is not installed; run `{entry.mend}`."
    if bundle is not None and not _holds(bundle, entry.target, precision):
        what = f"{precision} {entry.target}" if precision else entry.target
        target = entry.target if precision in (None, "fp32") else f"{entry.target}:{precision}"
        return f"{entry.name}: the bundle has no {what} encoder; export it with `--target {target}`."
    return None


def _holds(bundle: Bundle, target: str, precision: str | None) -> bool:
    return any(
        artefact.kind == "encoder" and artefact.target == target and precision in (None, artefact.precision)
        for artefact in bundle.manifest.artefacts
    )


def _make(entry: EncoderEntry, bundle: Bundle, threads: int | None, precision: str) -> EncoderBackend:
    module = importlib.import_module(entry.module)
    return cast(EncoderBackend, module.create(bundle, threads=threads, precision=precision))
