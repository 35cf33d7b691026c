"""Plain NumPy versions of the kernels behind visibility, for `gpu_kernels.py`."""

from __future__ import annotations

import numpy as np

from gpu_call import Call


def label_mass(call: Call) -> None:
    pixels, maps = call.values["pixels"], call.values["maps"]
    labels = call.array("labels", pixels, maps)
    part = call.constants["PIXELS"] * call.constants["ROUNDS"]
    sums = np.stack([labels[start : start + part].sum(axis=0) for start in range(0, pixels, part)])
    columns = min(maps, call.grid[1] * call.constants["CHANNELS"])
    call.array("partials", len(sums), maps)[: call.grid[0], :columns] = sums[: call.grid[0], :columns]


def appearance(call: Call) -> None:
    v, count, channels = call.values, call.grid[0], call.constants["C"]
    height, width = v["height"], v["width"]
    parts = call.array("partials", v["parts"], v["maps"]) if v["parts"] else np.zeros((0, count), np.float32)
    call.array("mass", count)[:] = parts.sum(axis=0)[:count]
    xy, last = call.array("xy", count, 2), call.array("last", count, 2)
    last[:] = np.where(np.isnan(xy[:, :1]), last, xy)
    features = call.array("features", height * width, channels).astype(np.float32).reshape(height, width, channels)
    x, y = (np.clip(last[:, i] / np.float32(v["stride"]), 0, side - 1) for i, side in ((0, width), (1, height)))
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = features[top, left] * (1 - across) + features[top, right] * across
    lower = features[bottom, left] * (1 - across) + features[bottom, right] * across
    mixed = upper * (1 - down) + lower * down
    unit = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), np.float32(1e-12))
    looks = call.array("looks", count, channels)
    if v["first"]:
        looks[:] = unit
    else:
        call.array("similarity", count)[:] = (looks * unit).sum(axis=1)
