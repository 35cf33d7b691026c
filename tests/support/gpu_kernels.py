"""Plain NumPy versions of the GPU kernels, as an emulated driver runs them: addresses and numbers in, memory changed.

They follow the kernels' documented contract, not their code, and compute only the programs that the grid covers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_memory import EmulatedMemory, IllegalAddressError

NOWHERE = 0x7FFF << 16
DTYPES = {"*fp16": np.float16, "*fp32": np.float32, "*i32": np.int32, "*u8": np.uint8}


@dataclass(frozen=True)
class Call:
    """One launch: parameter values and types by name, compiled-in constants, blocks along x and y."""

    memory: EmulatedMemory
    values: Mapping[str, Any]
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    grid: tuple[int, int, int]

    def array(self, name: str, *shape: int) -> NDArray[Any]:
        return self.memory.view(self.values[name], DTYPES[self.types[name]], shape)


def local_topk(call: Call) -> None:
    v, c = call.values, call.constants
    height, width, frames, k = v["height"], v["width"], v["frames"], c["K"]
    pixels = height * width
    query = call.array("query", pixels, c["C"]).astype(np.float32)
    slots = call.array("slots", frames)
    keys = call.array("keys", int(slots.max()) + 1, pixels, c["C"])
    entries = call.array("offsets", v["blocks"] * c["BLOCK"])
    offset_y, offset_x = entries >> 16, (entries << 16) >> 16
    listed = entries[entries != NOWHERE]
    if len(np.unique(listed)) < len(listed):
        raise IllegalAddressError("the table of offsets names a key twice, or is longer than it was made")
    splits = -(-frames // v["frames_per_split"])
    positions = call.array("positions", splits, pixels, k)
    values = call.array("values", splits, pixels, k)
    tiles_x = -(-width // c["TILE_X"])
    for tile in range(call.grid[0]):
        first_y, first_x = tile // tiles_x * c["TILE_Y"], tile % tiles_x * c["TILE_X"]
        y, x = (
            a.ravel()
            for a in np.mgrid[
                first_y : min(first_y + c["TILE_Y"], height), first_x : min(first_x + c["TILE_X"], width)
            ]
        )
        key_y, key_x = first_y + offset_y, first_x + offset_x
        exists = (key_y >= 0) & (key_y < height) & (key_x >= 0) & (key_x < width)
        key = (key_y * width + key_x)[exists]
        dy, dx = key_y[exists] - y[:, None], key_x[exists] - x[:, None]
        measure = np.maximum(abs(dy), abs(dx)) if c["SQUARE"] else dy * dy + dx * dx
        rows = y * width + x
        for split in range(call.grid[1]):
            times = np.arange(split * v["frames_per_split"], min((split + 1) * v["frames_per_split"], frames))
            scores = np.concatenate(
                [
                    np.where(measure < v["limit"], query[rows] @ keys[slots[t], key].astype(np.float32).T, -np.inf)
                    for t in times
                ],
                axis=1,
            )
            places = np.concatenate([t * pixels + key for t in times])
            positions[split, rows], values[split, rows] = _best(scores, places, k, c["TEMPERATURE"])


def _best(
    scores: NDArray[np.float32], places: NDArray[np.int64], k: int, temperature: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    scores = np.pad(np.nan_to_num(scores, nan=-np.inf), ((0, 0), (0, k)), constant_values=-np.inf)
    places = np.broadcast_to(np.pad(places, [(0, 0)] * (places.ndim - 1) + [(0, k)]), scores.shape)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    found = np.where(np.isneginf(best), 0, np.take_along_axis(places, order, axis=1)).astype(np.int32)
    return found, _values(best, temperature)


def _values(best: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    if not temperature:
        return best
    highest = np.where(np.isneginf(best[:, :1]), np.float32(0), best[:, :1])
    weights: NDArray[np.float32] = np.exp((best - highest) / np.float32(temperature), dtype=np.float32)
    total = weights.sum(axis=1, keepdims=True)
    total[total == 0] = 1
    weights /= total
    return weights


def propagate(call: Call) -> None:
    pixels, channels, k = call.values["pixels"], call.values["channels"], call.constants["K"]
    positions, weights = call.array("positions", pixels, k), call.array("weights", pixels, k)
    used = weights != 0
    time = np.where(used, positions // pixels, 0)
    slots = call.array("slots", int(time.max()) + 1)
    ring = np.where(used, slots[time], 0)
    labels = call.array("labels", int(ring.max()) + 1, pixels, channels)
    gathered = np.where(used[..., None], labels[ring, positions % pixels].astype(np.float32), 0)
    carried = np.matmul(np.where(used, weights, 0)[:, None, :], gathered)[:, 0]
    rows = min(pixels, call.grid[0] * call.constants["PIXELS"])
    columns = min(channels, call.grid[1] * call.constants["CHANNELS"])
    call.array("out", pixels, channels)[:rows, :columns] = carried[:rows, :columns]


def merge_topk(call: Call) -> None:
    pixels, count, k = call.values["pixels"], call.values["count"], call.constants["K"]
    lists = call.array("lists", count)
    positions = call.array("list_positions", int(lists.max()) + 1, pixels, k)
    scores = call.array("list_scores", int(lists.max()) + 1, pixels, k)
    places = [frame * pixels + positions[chosen] % pixels for frame, chosen in enumerate(lists)]
    found, values = _best(
        np.concatenate([scores[i] for i in lists], axis=1),
        np.concatenate(places, axis=1),
        k,
        call.constants["TEMPERATURE"],
    )
    rows = min(pixels, call.grid[0] * call.constants["ROWS"])
    call.array("positions", pixels, k)[:rows] = found[:rows]
    call.array("values", pixels, k)[:rows] = values[:rows]


def normalise(call: Call) -> None:
    pixels, channels = call.values["pixels"], call.constants["C"]
    raw = call.array("features", channels, pixels).T.astype(np.float32)
    unit = raw / np.maximum(np.sqrt((raw * raw).sum(axis=1, keepdims=True)), np.float32(1e-12))
    rows = min(pixels, call.grid[0] * call.constants["PIXELS"])
    call.array("out", pixels, channels)[:rows] = unit[:rows]


def _upsample(call: Call, channel: int, rows: str, cols: str, out_hw: tuple[int, int]) -> NDArray[np.float32]:
    """One label map at every pixel, x first, one rounding after each operation."""
    height, width = call.values["height"], call.values["width"]
    labels = call.array("labels", height * width, call.values["maps"])[:, channel].reshape(height, width)
    y, x = (_low(call, name, count) for name, count in ((rows, height), (cols, width)))
    w_y, w_x = call.array("row_weight", out_hw[0]), call.array("col_weight", out_hw[1])
    one = np.float32(1)
    across = labels[:, x] * (one - w_x) + labels[:, np.minimum(x + 1, width - 1)] * w_x
    low, high = across[y], across[np.minimum(y + 1, height - 1)]
    upsampled: NDArray[np.float32] = low * (one - w_y)[:, None] + high * w_y[:, None]
    return upsampled


def _low(call: Call, name: str, features: int) -> NDArray[Any]:
    """The feature before each pixel, from a table of that or of each feature's first pixel."""
    if name.endswith("low"):
        return call.array(name, call.values["out_height" if name.startswith("row") else "out_width"])
    return np.repeat(np.arange(features), np.diff(call.array(name, features + 1)))


def _units(call: Call, cells: int) -> NDArray[Any]:
    """The largest label that each unit of `cells` cells touches, [units, maps]."""
    height, width, maps = (call.values[name] for name in ("height", "width", "maps"))
    labels = call.array("labels", height * width, maps).reshape(height, width, maps)
    grown = np.pad(labels, ((0, 1), (0, 1), (0, 0)), mode="edge")
    corners = np.max([grown[a : a + height, b : b + width] for a in (0, 1) for b in (0, 1)], axis=0)
    padded = np.pad(corners, ((0, 0), (0, -width % cells), (0, 0)))
    units: NDArray[Any] = padded.reshape(height, -1, cells, maps).max(axis=2).reshape(-1, maps)
    return units


def readout_bounds(call: Call) -> None:
    units = _units(call, call.constants["CELLS"])
    columns = min(units.shape[1], call.grid[1] * call.constants["CHANNELS"])
    call.array("bounds", *units.shape)[: call.grid[0], :columns] = units[: call.grid[0], :columns]


def readout(call: Call) -> None:
    """Every pixel of every map; `bounds`, which the kernel skips units by, must be those of these labels."""
    height = int(call.array("row_start", call.values["height"] + 1)[-1])
    width, top = call.values["out_width"], call.constants["COUNT"]
    bounds = call.array("bounds", call.values["units"], call.values["maps"])
    if not np.array_equal(bounds, _units(call, call.constants["CELLS"])):
        raise IllegalAddressError("the bounds are not those of these label maps")
    for p in range(call.grid[0]):
        flat = _upsample(call, p, "row_start", "col_start", (height, width)).ravel()
        order = np.argsort(-flat, kind="stable")[:top] if bounds[:, p].max() > 0 else np.zeros(top, np.intp)
        value = flat[order].astype(np.float64) if bounds[:, p].max() > 0 else np.zeros(top)
        mean = value.sum() / top
        lost = not mean >= call.constants["VANISHED"]
        share = value / (1.0 if lost else value.sum())
        place = (
            np.nan if lost else (share * (order % width)).sum(),
            np.nan if lost else (share * (order // width)).sum(),
        )
        call.array("xy", call.grid[0], 2)[p] = place
        call.array("peak", call.grid[0])[p] = mean


def _ranges(call: Call) -> NDArray[np.float32]:
    """Smallest and largest upsampled value of every class in every tile, [maps, 2, tiles]."""
    out_hw = call.values["out_height"], call.values["out_width"]
    rows, columns = call.constants["TILE_Y"], call.constants["TILE_X"]
    found = []
    for c in range(call.values["maps"]):
        value = _upsample(call, c, "row_low", "col_low", out_hw)
        tiles = [
            value[y : y + rows, x : x + columns]
            for y in range(0, out_hw[0], rows)
            for x in range(0, out_hw[1], columns)
        ]
        found.append([[t.min() for t in tiles], [t.max() for t in tiles]])
    return np.array(found, np.float32)


def mask_ranges(call: Call) -> None:
    ranges = _ranges(call)
    call.array("ranges", len(ranges), 2, call.grid[0])[: call.grid[1]] = ranges[: call.grid[1]]


def argmax_masks(call: Call) -> None:
    out_hw, maps = (call.values["out_height"], call.values["out_width"]), call.values["maps"]
    ranges = call.array("ranges", maps, 2, call.grid[0])
    if not np.array_equal(ranges, _ranges(call)):
        raise IllegalAddressError("the ranges are not those of these label maps")
    best, chosen = np.full(out_hw, -np.inf, np.float32), np.zeros(out_hw, np.intp)
    for c in range(maps):
        low, high = ranges[c, 0].min(), ranges[c, 1].max()
        if high < call.constants["FAINT"]:
            continue
        value = (_upsample(call, c, "row_low", "col_low", out_hw) - low) / (high - low + np.float32(1e-12))
        better = value > best
        best, chosen = np.where(better, value, best), np.where(better, c, chosen)
    call.array("mask", *out_hw)[...] = call.array("ids", maps)[chosen]


KERNELS: dict[str, Callable[[Call], None]] = {
    "local_topk": local_topk,
    "local_topk_scores": local_topk,
    "propagate": propagate,
    "merge_topk": merge_topk,
    "normalise": normalise,
    "readout_bounds": readout_bounds,
    "readout": readout,
    "mask_ranges": mask_ranges,
    "argmax_masks": argmax_masks,
}
