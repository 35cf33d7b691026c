"""Plain NumPy versions of the read-out kernels, for `gpu_kernels.py`.

The second kernel of each pair checks that the first has run with the same label maps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_call import Call
from gpu_memory import IllegalAddressError


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
