"""Every kernel with its parameters and constexprs, for one set of build settings.  No compiling here.

The ahead-of-time compiler, its gates and the launch plans are all checked against this list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from . import (
    appearance,
    argmax_masks,
    label_mass,
    local_topk,
    merge_topk,
    normalise,
    pool_cells,
    propagate,
    readout,
    readout_bounds,
    refine,
)
from .config import SLOTS, Config, Param, Variant, padded_channels, require_topk

Constexprs = Mapping[str, int | float | bool]
TAPS = ("row_start", "row_weight", "col_start", "col_weight")
LOWS = ("row_low", "row_weight", "col_low", "col_weight")


@dataclass(frozen=True)
class Build:
    """What a bundle's settings fix at compile time; the names are those of its settings.

    `encoder` is the type of the engine's output, `feature` that of the key ring, `label` that of the label ring.
    `reference` is `compat="reference"`.
    """

    encoder: Literal["fp32", "fp16"] = "fp32"
    feature: Literal["fp16", "bf16", "fp32"] = "fp16"
    label: Literal["fp32", "fp16"] = "fp32"
    channels: int = 256
    stride: int = 2
    topk: int = 10
    temperature: float = 0.07
    window: Literal["circle", "square"] = "circle"
    coarse_scale: int = 4
    fine_radius: int = 4
    reference: bool = False

    @property
    def widths(self) -> dict[str, int]:
        """Constexprs of the channel count."""
        return {"C": self.channels, "PADDED_C": padded_channels(self.channels)}


def _params(words: str, build: Build) -> tuple[Param, ...]:
    """Parameters from words `name` (an integer), `name:kind` (a pointer), `name:kind!` (a 16-byte aligned one)."""
    kinds = {"feature": build.feature, "label": build.label, "encoder": build.encoder}
    params = []
    for word in words.split():
        name, _, kind = word.partition(":")
        pure = kind.removesuffix("!")
        params.append(Param(name, f"*{kinds.get(pure, pure)}" if kind else "i32", 16 if kind.endswith("!") else 1))
    return tuple(params)


def _taps(names: tuple[str, ...]) -> str:
    return " ".join(f"{name}:{'fp32' if name.endswith('weight') else 'i32'}" for name in names)


def _variant(name: str, kernel: object, words: str, build: Build, config: Config, constexprs: Constexprs) -> Variant:
    return Variant(name, kernel, _params(words, build), {**constexprs, **config.tiles}, config)


def _local_topk(name: str, build: Build, topk: int, temperature: float, square: bool) -> Variant:
    words = (
        "query:feature! keys:feature! slots:i32 offsets:i32! height width frames frames_per_split blocks limit "
        "positions:i32! values:fp32!"
    )
    constexprs = {**build.widths, "K": topk, "SLOTS": SLOTS, "TEMPERATURE": temperature, "UPCAST": False}
    constexprs["SQUARE"] = square
    return _variant(name, local_topk.local_topk_kernel, words, build, local_topk.CONFIG, constexprs)


def _merge_topk(build: Build) -> Variant:
    words = "list_positions:i32! list_scores:fp32! lists:i32 pixels count positions:i32! values:fp32!"
    constexprs = {"K": build.topk, "SLOTS": SLOTS, "RENUMBER": True, "TEMPERATURE": build.temperature}
    return _variant("merge_topk", merge_topk.merge_topk_kernel, words, build, merge_topk.CONFIG, constexprs)


def _propagate(build: Build) -> Variant:
    words = "positions:i32! weights:fp32! labels:label! slots:i32 pixels channels out:label!"
    constexprs = {"K": build.topk}
    return _variant("propagate", propagate.propagate_kernel, words, build, propagate.CONFIG, constexprs)


def _normalise(build: Build) -> Variant:
    words = "features:encoder! pixels out:feature!"
    return _variant("normalise", normalise.normalise_kernel, words, build, normalise.CONFIG, build.widths)


def _readout_bounds(build: Build) -> Variant:
    words = "labels:label! height width maps bounds:fp32!"
    config = readout_bounds.CONFIG
    return _variant("readout_bounds", readout_bounds.readout_bounds_kernel, words, build, config, {})


def _readout(build: Build) -> Variant:
    words = f"labels:label! bounds:fp32! {_taps(TAPS)} height width out_width maps units xy:fp32! peak:fp32!"
    constexprs = {
        "COUNT": readout.TOP,
        "SPAN": readout.largest_span(build.stride, build.reference),
        "VANISHED": readout.VANISHED,
        "REFERENCE": build.reference,
    }
    return _variant("readout", readout.readout_kernel, words, build, readout.CONFIG, constexprs)


def _label_mass(build: Build) -> Variant:
    words = "labels:label! pixels maps partials:fp32!"
    return _variant("label_mass", label_mass.label_mass_kernel, words, build, label_mass.CONFIG, {})


def _appearance(build: Build) -> Variant:
    words = (
        "features:feature! xy:fp32! partials:fp32! height width stride maps parts first "
        "last:fp32! looks:fp32! similarity:fp32! mass:fp32!"
    )
    return _variant("appearance", appearance.appearance_kernel, words, build, appearance.CONFIG, build.widths)


def _mask_ranges(build: Build) -> Variant:
    words = f"labels:label! {_taps(LOWS)} height width out_height out_width maps ranges:fp32!"
    return _variant("mask_ranges", argmax_masks.mask_ranges_kernel, words, build, argmax_masks.CONFIG, {})


def _argmax_masks(build: Build) -> Variant:
    words = f"labels:label! ranges:fp32! ids:u8 {_taps(LOWS)} height width out_height out_width maps mask:u8!"
    constexprs = {"NORMALISE": True, "REFERENCE": build.reference, "FAINT": argmax_masks.FAINT}
    config = argmax_masks.CONFIG
    return _variant("argmax_masks", argmax_masks.argmax_masks_kernel, words, build, config, constexprs)


def _pool_cells(build: Build) -> Variant:
    constexprs = {**build.widths, "SCALE": build.coarse_scale}
    words = "features:feature! height width out:feature!"
    return _variant("pool_cells", pool_cells.pool_cells_kernel, words, build, pool_cells.CONFIG, constexprs)


def _refine(name: str, build: Build, temperature: float) -> Variant:
    words = (
        "query:feature! keys:feature! slots:i32 matched:i32! height width frames frames_per_split "
        "positions:i32! values:fp32!"
    )
    sizes = refine.refine_sizes(build.coarse_scale, build.fine_radius)
    constexprs = {**build.widths, **sizes, "K": build.topk, "SLOTS": SLOTS, "TEMPERATURE": temperature}
    constexprs["UPCAST"] = False
    return _variant(name, refine.refine_kernel, words, build, refine.CONFIG, constexprs)


KERNELS: Mapping[str, Callable[[Build], Variant]] = {
    "normalise": _normalise,
    # Weights for one query group; scores where several groups share lists that merge_topk joins.
    "local_topk": lambda b: _local_topk("local_topk", b, b.topk, b.temperature, b.window == "square"),
    "local_topk_scores": lambda b: _local_topk("local_topk_scores", b, b.topk, 0.0, b.window == "square"),
    "merge_topk": _merge_topk,
    "propagate": _propagate,
    "readout_bounds": _readout_bounds,
    "readout": _readout,
    # Where the bundle's visibility is calibrated: the evidence beside the labels' height.
    "label_mass": _label_mass,
    "appearance": _appearance,
    "mask_ranges": _mask_ranges,
    "argmax_masks": _argmax_masks,
    # The coarse-to-fine mode: pool, match the cells with k = 1 and one list per frame, refine.  Its coarse window is
    # a circle whatever the window of the exact mode.
    "pool_cells": _pool_cells,
    "coarse_topk": lambda b: _local_topk("coarse_topk", b, 1, 0.0, square=False),
    "refine": lambda b: _refine("refine", b, b.temperature),
    "refine_scores": lambda b: _refine("refine_scores", b, 0.0),
}


def variants(build: Build) -> tuple[Variant, ...]:
    """Every kernel for one set of settings; raises KernelArgumentError for settings that no kernel supports."""
    require_topk(build.topk)
    return tuple(make(build) for make in KERNELS.values())
