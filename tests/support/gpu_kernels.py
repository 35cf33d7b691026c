"""Plain NumPy versions of the GPU kernels, as an emulated driver runs them: addresses and numbers in, memory changed.

They follow the kernels' documented contract, not their code, and compute only the programs that the grid covers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu_appearance_kernels import appearance, label_mass
from gpu_call import Call
from gpu_coarse_kernels import pool_cells, refine
from gpu_lists import best_of
from gpu_memory import IllegalAddressError
from gpu_readout_kernels import argmax_masks, mask_ranges, readout, readout_bounds

NOWHERE = 0x7FFF << 16


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
            positions[split, rows], values[split, rows] = best_of(scores, places, k, c["TEMPERATURE"])


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
    found, values = best_of(
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


KERNELS: dict[str, Callable[[Call], None]] = {
    "local_topk": local_topk,
    "local_topk_scores": local_topk,
    "pool_cells": pool_cells,
    "coarse_topk": local_topk,
    "refine": refine,
    "refine_scores": refine,
    "propagate": propagate,
    "merge_topk": merge_topk,
    "normalise": normalise,
    "readout_bounds": readout_bounds,
    "readout": readout,
    "label_mass": label_mass,
    "appearance": appearance,
    "mask_ranges": mask_ranges,
    "argmax_masks": argmax_masks,
}
