"""Import and save encoders: recognise the kind of checkpoint, rename its tensors, and check every one of them.

Reading the file safely is `reading.py`, the name maps are in `naming.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fgvc_training.encoder.architectures import architecture
from fgvc_training.encoder.naming import NAMINGS, Naming, recognise
from fgvc_training.encoder.reading import CheckpointFault, read_tensors

__all__ = ["CheckpointFault", "ImportReport", "load_encoder", "save_encoder"]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was taken from a checkpoint and what was not.

    `kind` says what the file was recognised as; `dropped` are the tensors that are no part of the encoder (layer4,
    heads, teacher, counters); `sha256` is that of the file.
    """

    arch: str
    kind: str
    path: Path
    sha256: str
    loaded: tuple[str, ...]
    dropped: tuple[str, ...]

    def summary(self) -> str:
        """One line for people."""
        left = f"; left out {len(self.dropped)} that are not the encoder's" if self.dropped else ""
        parts = f" ({', '.join(self.dropped_parts())})" if self.dropped else ""
        return f"{self.path.name}: {self.kind}, {len(self.loaded)} tensors{left}{parts}"

    def dropped_parts(self) -> list[str]:
        """The modules that `dropped` belongs to, the encoder's own two levels deep: `backbone.layer4`, `teacher`."""
        deep = ("backbone.", "_blocks.")
        return sorted({".".join(name.split(".")[: 2 if name.startswith(deep) else 1]) for name in self.dropped})


def load_encoder(path: str | Path, arch: str = "auto") -> tuple[nn.Module, ImportReport]:
    """Build the encoder that a checkpoint holds, in eval mode on the CPU, and report what was dropped.

    `arch` names the architecture wanted; "auto" takes the one the file was made for.  Raises `CheckpointFault` when
    the file cannot be read safely, is of another architecture, or any tensor is missing, unexpected, misshapen or not
    finite: the message names all of them.  Raises `UnknownArchitecture` for an unknown `arch`.
    """
    path = Path(path)
    if arch != "auto":
        architecture(arch)
    tensors = _without_wrapper(read_tensors(path))
    naming = _recognise(path, tensors, arch)
    state, dropped = _rename(tensors, naming)
    module = architecture(naming.arch).build()
    faults = _faults(module.state_dict(), state)
    if faults:
        raise CheckpointFault(f"{path}: does not fit {naming.arch} ({naming.title}): {'; '.join(faults)}.")
    module.load_state_dict(state)
    report = ImportReport(
        naming.arch, naming.title, path, _sha256(path), tuple(sorted(state)), tuple(sorted(dropped))
    )
    return module.eval(), report


def save_encoder(module: nn.Module, path: str | Path, arch: str) -> None:
    """Save an encoder's tensors under our own names as .safetensors, for `load_encoder`."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    faults = _faults(architecture(arch).build().state_dict(), tensors)
    if faults:
        raise CheckpointFault(f"{path}: not written, this encoder is no {arch}: {'; '.join(faults)}.")
    # One key: several are written in random order, and the same weights should be the same bytes.
    save_file(tensors, path, metadata={"fgvc-deploy encoder": arch})


def _without_wrapper(tensors: dict[str, Any]) -> dict[str, Any]:
    """Remove `module.`, which DistributedDataParallel puts before every name."""
    if tensors and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _recognise(path: Path, tensors: Mapping[str, Any], arch: str) -> Naming:
    naming = recognise(tensors)
    if naming is None:
        some = ", ".join(list(tensors)[:3]) or "none at all"
        known = "; ".join(row.title for row in NAMINGS)
        raise CheckpointFault(
            f"{path}: is of another architecture: its tensors ({some}, ...) are those of no known encoder ({known})."
        )
    if arch not in ("auto", naming.arch):
        raise CheckpointFault(
            f"{path}: is of another architecture: it holds {naming.arch} ({naming.title}), not {arch}; "
            f"use --arch {naming.arch} or another checkpoint."
        )
    return naming


def _rename(tensors: Mapping[str, Any], naming: Naming) -> tuple[dict[str, Any], list[str]]:
    state: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in tensors.items():
        ours = naming.rename(name)
        if ours is None:
            dropped.append(name)
        else:
            state[ours] = value
    return state, dropped


def _faults(expected: Mapping[str, Tensor], state: Mapping[str, Any]) -> list[str]:
    """Everything that keeps `state` from being exactly the tensors `expected`, one phrase for each kind."""
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    wrong = [_fault(name, expected[name], state[name]) for name in sorted(expected.keys() & state.keys())]
    phrases = [f"missing {', '.join(missing)}"] if missing else []
    phrases += [f"unexpected {', '.join(unexpected)}"] if unexpected else []
    return phrases + [phrase for phrase in wrong if phrase]


def _fault(name: str, expected: Tensor, value: Any) -> str | None:
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return f"{name} is no dense tensor but {type(value).__name__}"
    if value.shape != expected.shape:
        return f"{name} has shape {list(value.shape)} where {list(expected.shape)} is expected"
    if value.is_floating_point() != expected.is_floating_point():
        return f"{name} is {value.dtype} where {expected.dtype} is expected"
    if not torch.isfinite(value).all():
        return f"{name} holds NaN or infinity"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
