"""What is installed, which backends can run here, and for each that cannot: why, and the command that mends it.

This module gathers; `cli/doctor.py` prints.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from fgvc_deploy.bundle import Bundle, open_bundle
from fgvc_deploy.encoders import select as encoders
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.select import bundle_notes
from fgvc_deploy.gpu.select import states as gpu_states
from fgvc_deploy.propagation.select import PROPAGATION_BACKENDS

PACKAGES = (
    "fgvc-deploy",
    "numpy",
    "av",
    "pillow",
    "pydantic",
    "onnxruntime",
    "onnxruntime-gpu",
    "MNN",
    "cuda-python",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "torch",
    "onnx",
    "triton",
)


class BackendState(NamedTuple):
    """One backend: `reason` is None when it can run here, else one sentence with the command that mends it."""

    kind: str
    name: str
    reason: str | None


class Diagnosis(NamedTuple):
    """Everything `doctor` knows; `problem` is None when a bundle (if any) can be run here.

    `notes` say where the bundle's GPU parts would run.
    """

    machine: dict[str, str]
    packages: dict[str, str | None]
    backends: list[BackendState]
    bundle: Bundle | None
    problem: str | None
    notes: tuple[str, ...] = ()


def diagnose(bundle_path: Path | None) -> Diagnosis:
    """Look at this machine, and at a bundle when one is given (None: the one that ships with the package)."""
    bundle, problem = _open(bundle_path)
    states = [BackendState("encoder", item.entry.name, item.reason) for item in encoders.available(bundle)]
    if problem is None and all(state.reason for state in states):
        problem = "no encoder backend can run here; see the reasons above."
    states += [BackendState(*state) for state in gpu_states(bundle)]
    states += [BackendState("propagation", e.name, e.check(bundle)) for e in PROPAGATION_BACKENDS]
    notes = tuple(bundle_notes(bundle)) if bundle else ()
    return Diagnosis(_machine(), {name: _version(name) for name in PACKAGES}, states, bundle, problem, notes)


def _open(path: Path | None) -> tuple[Bundle | None, str | None]:
    from fgvc_deploy.model import DEFAULT_BUNDLE

    try:
        return open_bundle(path or DEFAULT_BUNDLE), None
    except BundleError as error:
        return None, str(error)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, str]:
    # The package brings libav along, which `--help` must not wait for.
    from fgvc_deploy.results.run_json import machine

    here = machine()
    return {
        "python": platform.python_version(),
        "system": here.system,
        "processor": here.cpu,
        "threads": str(here.cores),
    }
