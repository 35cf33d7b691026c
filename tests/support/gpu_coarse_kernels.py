"""Plain NumPy versions of the coarse-to-fine kernels, for `gpu_kernels.py`."""

from __future__ import annotations

import numpy as np

from gpu_call import Call
from gpu_lists import best_of
from gpu_memory import IllegalAddressError


def pool_cells(call: Call) -> None:
    height, width, channels = call.values["height"], call.values["width"], call.constants["C"]
    scale = call.constants["SCALE"]
    features = call.array("features", height * width, channels).astype(np.float32).reshape(height, width, channels)
    rows = np.add.reduceat(features, np.arange(0, height, scale), axis=0)
    sums = np.add.reduceat(rows, np.arange(0, width, scale), axis=1).reshape(-1, channels)
    unit = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-12))
    if call.grid[0] != -(-len(unit) // call.constants["CELLS"]):
        raise IllegalAddressError("the grid is not that of a map of this size")
    call.array("out", len(unit), channels)[:] = unit


def refine(call: Call) -> None:
    """Query by query, from the definition; a coarse match counts modulo the number of cells."""
    v, c = call.values, call.constants
    height, width, frames, k, scale, radius = (
        v["height"],
        v["width"],
        v["frames"],
        c["K"],
        c["SCALE"],
        c["FINE_RADIUS"],
    )
    pixels, across = height * width, -(-width // scale)
    cells = -(-height // scale) * across
    query = call.array("query", pixels, c["C"]).astype(np.float32)
    slots, matched = call.array("slots", frames), call.array("matched", frames, cells) % cells
    keys = call.array("keys", int(slots.max()) + 1, pixels, c["C"])
    splits = -(-frames // v["frames_per_split"])
    positions, values = call.array("positions", splits, pixels, k), call.array("values", splits, pixels, k)
    for cell in range(call.grid[0]):
        first_y, first_x = cell // across * scale, cell % across * scale
        for y in range(first_y, min(first_y + scale, height)):
            for x in range(first_x, min(first_x + scale, width)):
                for split in range(call.grid[1]):
                    times = range(split * v["frames_per_split"], min((split + 1) * v["frames_per_split"], frames))
                    near = {
                        t: _near(matched[t, cell], across, (y - first_y, x - first_x), scale, radius, (height, width))
                        for t in times
                    }
                    scores = [query[y * width + x] @ keys[slots[t], near[t]].astype(np.float32).T for t in times]
                    places = [t * pixels + near[t] for t in times]
                    best = best_of(np.concatenate(scores)[None], np.concatenate(places), k, c["TEMPERATURE"])
                    positions[split, y * width + x], values[split, y * width + x] = best[0][0], best[1][0]


def _near(
    other: int, across: int, inside: tuple[int, int], scale: int, radius: int, hw: tuple[int, int]
) -> np.ndarray:
    """Raster positions of the keys around a query's own place in the matched cell."""
    sides = []
    for first, own, side in zip(divmod(int(other), across), inside, hw, strict=True):
        centre = min(first * scale + own, side - 1)
        sides.append(np.arange(max(0, centre - radius), min(side, centre + radius + 1)))
    return (sides[0][:, None] * hw[1] + sides[1]).ravel()
