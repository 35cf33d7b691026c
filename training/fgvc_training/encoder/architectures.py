"""The table of encoders: one row says how to build it, what it eats, what it gives, and how it is used by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from fgvc_training.encoder.edge import EdgeEncoder
from fgvc_training.encoder.edge_reduced import ReducedEdgeEncoder
from fgvc_training.encoder.efficientnet_lite import EdgeLite0
from fgvc_training.encoder.resnet import ResNet18D1
from fgvc_training.errors import TrainingError

Triple = tuple[float, float, float]


class UnknownArchitecture(TrainingError):
    """No architecture has this name."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Input of an encoder: `(colour - mean) / std`; `lab` is OpenCV's float Lab, `rgb` is uint8 / 255."""

    color_space: Literal["lab", "rgb"]
    mean: Triple
    std: Triple


@dataclass(frozen=True, slots=True)
class Propagation:
    """How labels are carried with these features; `radius` in feature pixels, `label_sigma` in network pixels.

    `fine` "patch" refines points by aligning image patches, which a stride of 4 leaves room for.
    """

    radius: float = 15.0
    topk: int = 10
    temperature: float = 0.07
    memory: int = 5
    label_sigma: float = 6.0
    fine: Literal["off", "patch"] = "off"


@dataclass(frozen=True, slots=True)
class Architecture:
    """One encoder.  Features are [N, channels, ceil(H/stride), ceil(W/stride)] for any H, W >= 32."""

    name: str
    summary: str
    build: Callable[[], nn.Module]
    stride: int
    channels: int
    preprocess: Preprocess
    propagation: Propagation = field(default_factory=Propagation)
    default_size: str = "native"


_LAB = Preprocess("lab", mean=(50.0, 0.0, 0.0), std=(50.0, 127.0, 127.0))
_IMAGENET = Preprocess("rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_EDGE = Propagation(radius=15.0, temperature=0.1, memory=9, label_sigma=3.0, fine="patch")

ARCHITECTURES: dict[str, Architecture] = {
    row.name: row
    for row in (
        Architecture(
            name="resnet18_d1",
            summary="ResNet-18 of the FGVC paper: stride 2, 256 channels, Lab input",
            build=ResNet18D1,
            stride=2,
            channels=256,
            preprocess=_LAB,
            default_size="256x256",
        ),
        Architecture(
            name="edge_lite0",
            summary="EfficientNet-lite0 up to stride 16, its levels on the stride-4 grid, 176 channels, RGB input",
            build=EdgeLite0,
            stride=4,
            channels=176,
            preprocess=_IMAGENET,
            propagation=Propagation(radius=7.5),
            default_size="short:256",
        ),
        Architecture(
            name="edge",
            summary="EfficientNet-lite0's levels beside a head trained for correspondence, 240 channels, RGB input",
            build=EdgeEncoder,
            stride=4,
            channels=240,
            preprocess=_IMAGENET,
            propagation=_EDGE,
            default_size="short:320",
        ),
        Architecture(
            name="edge_reduced",
            summary="128 principal components of `edge`, for half the cost of matching, RGB input",
            build=ReducedEdgeEncoder,
            stride=4,
            channels=128,
            preprocess=_IMAGENET,
            propagation=_EDGE,
            default_size="short:320",
        ),
    )
}


def architecture(name: str) -> Architecture:
    """The row called `name`; raises `UnknownArchitecture` listing the names."""
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnknownArchitecture(f"There is no encoder architecture {name!r}; choose one of: {known}.")
    return ARCHITECTURES[name]
