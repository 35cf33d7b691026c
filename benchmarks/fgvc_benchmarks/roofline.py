"""Analytic work of the GPU kernels, and the shortest time that datasheet peaks allow: a model, no measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fgvc_benchmarks.geometry import Geometry
from fgvc_kernels.aot.build import Constant
from fgvc_kernels.aot.chips import Product
from fgvc_kernels.triton.offsets import offset_table

HALF, WORD = 2, 4
"""Bytes of an fp16 feature; of an int32 position, fp32 weight or fp32 label."""


@dataclass(frozen=True, slots=True)
class Case:
    """A problem with the encoder whose kernels solve it, and how many label channels are carried."""

    geometry: Geometry
    encoder: str
    channels: int = 64


CASES = (
    Case(Geometry("128x128x256 r15", 128, 128, 256, 15.0), "resnet18_d1"),
    Case(Geometry("240x427x256 r15", 240, 427, 256, 15.0), "resnet18_d1"),
    Case(Geometry("64x64x176 r7.5", 64, 64, 176, 7.5), "edge_lite0"),
)
"""The paper's encoder at 256x256 and at 480p, and the edge encoder at 256x256."""


@dataclass(frozen=True, slots=True)
class Work:
    """Operations in 10^9 and bytes in 10^6 of one step.

    `dram_mb` counts every array once, as if the cache held what is used again; `l2_mb` counts what the blocks ask
    for.  `computed_gflop` run on tensor cores where `on_tensor_cores`.
    """

    useful_gflop: float
    computed_gflop: float
    dram_mb: float
    l2_mb: float
    on_tensor_cores: bool


class Bound(NamedTuple):
    """Milliseconds below which no step can be, and what sets them."""

    ms: float
    limit: Literal["compute", "memory"]


def matching_work(geometry: Geometry, constants: Mapping[str, Constant]) -> Work:
    """Work of `local_topk` as compiled with `constants`: tile, block of keys, k and the channels as padded."""
    tile = int(constants["TILE_Y"]), int(constants["TILE_X"])
    block, padded, topk = int(constants["BLOCK"]), int(constants["PADDED_C"]), int(constants["K"])
    pixels = geometry.height * geometry.width
    tiles = -(-geometry.height // tile[0]) * -(-geometry.width // tile[1])
    listed = len(offset_table("circle", geometry.radius, geometry.hw, tile, block))
    key_bytes = HALF * geometry.channels
    answer = pixels * topk * 2 * WORD
    features = (1 + geometry.frames) * pixels * key_bytes
    asked = tiles * (listed * geometry.frames + tile[0] * tile[1]) * key_bytes
    computed = 2e-9 * tiles * tile[0] * tile[1] * listed * geometry.frames * padded
    return Work(geometry.useful_gflop(), computed, (features + answer) / 1e6, (asked + answer) / 1e6, True)


def propagation_work(geometry: Geometry, channels: int) -> Work:
    """Work of `propagate`: k rows of fp32 labels gathered for each pixel, weighted and added."""
    pixels = geometry.height * geometry.width
    operations = 2e-9 * pixels * geometry.topk * channels
    matches = pixels * geometry.topk * 2 * WORD
    labels = pixels * channels * WORD
    dram = matches + (geometry.frames + 1) * labels
    asked = matches + (geometry.topk + 1) * labels
    return Work(operations, operations, dram / 1e6, asked / 1e6, False)


def shortest_ms(work: Work, product: Product) -> Bound:
    """The larger of computed operations at the tensor peak and DRAM traffic at full bandwidth."""
    compute = work.computed_gflop / product.tflops if work.on_tensor_cores else 0.0
    memory = work.dram_mb / product.dram_gbs
    return Bound(compute, "compute") if compute >= memory else Bound(memory, "memory")
