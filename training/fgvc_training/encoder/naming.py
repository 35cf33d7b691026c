"""Name maps: how the tensors of each known kind of checkpoint are called, and which of them are the encoder's.

A new kind of checkpoint is one more row of `NAMINGS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fgvc_training.encoder.efficientnet_lite import STAGES

# EdgeLite0 has this many of EfficientNet-lite0's sixteen blocks.
LITE0_BLOCKS = sum(stage.repeats for stage in STAGES)


@dataclass(frozen=True, slots=True)
class Naming:
    """One kind of checkpoint.

    `marker` matches names that only this kind has.  `rename`: its name -> ours, None for a part that is no encoder.
    """

    title: str
    arch: str
    marker: re.Pattern[str]
    rename: Callable[[str], str | None]


def _official(name: str) -> str | None:
    inside = name.startswith("backbone.") and not name.startswith("backbone.layer4.")
    return name.removeprefix("backbone.") if inside else None


_LITE_PARTS = (
    (re.compile(r"^_conv_stem\."), "stem.conv."),
    (re.compile(r"^_bn0\."), "stem.bn."),
    (re.compile(r"^_blocks\.(\d+)\._expand_conv\."), r"blocks.\1.expand.conv."),
    (re.compile(r"^_blocks\.(\d+)\._bn0\."), r"blocks.\1.expand.bn."),
    (re.compile(r"^_blocks\.(\d+)\._depthwise_conv\."), r"blocks.\1.depthwise.conv."),
    (re.compile(r"^_blocks\.(\d+)\._bn1\."), r"blocks.\1.depthwise.bn."),
    (re.compile(r"^_blocks\.(\d+)\._project_conv\."), r"blocks.\1.project.conv."),
    (re.compile(r"^_blocks\.(\d+)\._bn2\."), r"blocks.\1.project.bn."),
)
_LITE_HEAD = re.compile(r"^(_conv_head|_bn1|_fc)\.")


def _lite0(name: str) -> str | None:
    block = re.match(r"^_blocks\.(\d+)\.", name)
    if _LITE_HEAD.match(name) or (block and int(block[1]) >= LITE0_BLOCKS):
        return None
    for pattern, ours in _LITE_PARTS:
        if pattern.match(name):
            return pattern.sub(ours, name)
    return name


def _own(name: str) -> str | None:
    return name


NAMINGS: tuple[Naming, ...] = (
    Naming("official FGVC or Spa-then-Temp tracker", "resnet18_d1", re.compile(r"backbone\."), _official),
    Naming(
        "EfficientNet-lite0 (efficientnet-lite-pytorch)", "edge_lite0", re.compile(r"_(conv_stem|blocks)\."), _lite0
    ),
    Naming("fgvc-deploy resnet18_d1", "resnet18_d1", re.compile(r"layer\d\.\d\.conv\d\.conv\."), _own),
    Naming("fgvc-deploy edge_lite0", "edge_lite0", re.compile(r"blocks\.\d+\.depthwise\."), _own),
    Naming("fgvc-deploy edge_reduced", "edge_reduced", re.compile(r"components\.\d+\.basis$"), _own),
    Naming("fgvc-deploy edge", "edge", re.compile(r"trunk\.blocks\.\d+\.depthwise\."), _own),
)


def recognise(names: Iterable[str]) -> Naming | None:
    """The first naming whose marker fits one of `names`, or None."""
    listed = list(names)
    return next((naming for naming in NAMINGS if any(naming.marker.match(name) for name in listed)), None)
