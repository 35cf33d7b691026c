"""Every kernel with its parameters and constexprs, for one set of build settings.  No compiling here.

The ahead-of-time compiler, its gates and the launch plans are all checked against this list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from . import local_topk, propagate
from .config import SLOTS, Param, Variant, padded_channels, require_topk


@dataclass(frozen=True)
class Build:
    """What a bundle's settings fix at compile time: types, channels, k, temperature (0: scores) and window."""

    feature: Literal["fp16", "bf16", "fp32"] = "fp16"
    label: Literal["fp32", "fp16"] = "fp32"
    channels: int = 256
    topk: int = 10
    temperature: float = 0.07
    window: Literal["circle", "square"] = "circle"


def _integers(*names: str) -> tuple[Param, ...]:
    return tuple(Param(name, "i32") for name in names)


def _local_topk(build: Build, temperature: float, name: str) -> Variant:
    features = f"*{build.feature}"
    params = (
        Param("query", features, 16),
        Param("keys", features, 16),
        Param("slots", "*i32"),
        Param("offsets", "*i32", 16),
        *_integers("height", "width", "frames", "frames_per_split", "blocks", "limit"),
        Param("positions", "*i32", 16),
        Param("values", "*fp32", 16),
    )
    constexprs = {
        "C": build.channels,
        "PADDED_C": padded_channels(build.channels),
        "K": build.topk,
        "SLOTS": SLOTS,
        **local_topk.CONFIG.tiles,
        "SQUARE": build.window == "square",
        "TEMPERATURE": temperature,
        "UPCAST": False,
    }
    return Variant(name, local_topk.local_topk_kernel, params, constexprs, local_topk.CONFIG)


def _propagate(build: Build) -> Variant:
    labels = f"*{build.label}"
    params = (
        Param("positions", "*i32", 16),
        Param("weights", "*fp32", 16),
        Param("labels", labels, 16),
        Param("slots", "*i32"),
        *_integers("pixels", "channels"),
        Param("out", labels, 16),
    )
    constexprs = {"K": build.topk, **propagate.CONFIG.tiles}
    return Variant("propagate", propagate.propagate_kernel, params, constexprs, propagate.CONFIG)


KERNELS: Mapping[str, Callable[[Build], Variant]] = {
    # Weights for one query group; scores where several groups share lists that merge_topk joins.
    "local_topk": lambda build: _local_topk(build, build.temperature, "local_topk"),
    "local_topk_scores": lambda build: _local_topk(build, 0.0, "local_topk_scores"),
    "propagate": _propagate,
}


def variants(build: Build) -> tuple[Variant, ...]:
    """Every kernel for one set of settings; raises KernelArgumentError for settings that no kernel supports."""
    require_topk(build.topk)
    return tuple(make(build) for make in KERNELS.values())
