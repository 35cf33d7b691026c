"""Object masks -> one-hot label maps on the feature grid, and the checks a first mask must pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import Compat

UInt8Array = NDArray[np.uint8]
MAX_OBJECTS = 255


class MaskLabels(NamedTuple):
    """Labels of one mask: float32 [h * w, K] pixel-major, one-hot, and the object id of each channel, uint8 [K].

    Channel 0 is the background, id 0; ids ascend.
    """

    labels: NDArray[np.float32]
    ids: UInt8Array


def check_mask(mask: NDArray[Any], frame_hw: tuple[int, int] | None = None) -> UInt8Array:
    """A first mask as uint8 [H, W] of object ids, 0 = background; any bool or integer array with ids 0..255 will do.

    Returns a copy.  Without `frame_hw` the size is not checked.  Raises InputError when it has another size than the
    frame, another kind of content, no object, or more than 255.
    """
    if not isinstance(mask, np.ndarray) or mask.ndim != 2:
        what = f"an array of shape {mask.shape}" if isinstance(mask, np.ndarray) else f"a {type(mask).__name__}"
        raise InputError(f"the mask is {what}: give an array [H, W] of object ids.")
    if frame_hw is not None and mask.shape != tuple(frame_hw):
        shape = "x".join(map(str, mask.shape))
        raise InputError(
            f"the mask is {shape} but the frames are {frame_hw[0]}x{frame_hw[1]}: give one of that size."
        )
    if mask.dtype.kind not in "bui":
        raise InputError(f"the mask holds {mask.dtype} values: give object ids as whole numbers, 0 for background.")
    ids = np.unique(mask)
    count = int(np.count_nonzero(ids))
    if count == 0:
        raise InputError("the mask is empty: mark at least one object with an id from 1 to 255.")
    if count > MAX_OBJECTS:
        raise InputError(f"the mask holds {count} objects: at most {MAX_OBJECTS} can be tracked at once.")
    if ids[0] < 0 or ids[-1] > MAX_OBJECTS:
        raise InputError(f"the mask holds ids from {ids[0]} to {ids[-1]}: renumber the objects to 1..{MAX_OBJECTS}.")
    return mask.astype(np.uint8)


def mask_labels(
    mask: UInt8Array, network_hw: tuple[int, int], stride: int, compat: Compat = "corrected"
) -> MaskLabels:
    """Labels of `mask` uint8 [H, W], of any size, for features of ceil(network_hw / stride).

    `corrected`: the label of feature (i, j) is read at network pixel (stride * i, stride * j), ids keep their values,
    and an object too small to be met by the grid gets the feature cell nearest to it.  `reference`: Pillow's NEAREST
    to the feature size, channels 0..max id left in the small mask; smaller objects vanish (goldens item 28).
    Raises InputError when there are more objects than feature cells.
    """
    feature_hw = (-(-network_hw[0] // stride), -(-network_hw[1] // stride))
    if compat == "reference":
        small = np.asarray(Image.fromarray(mask).resize(feature_hw[::-1], Image.Resampling.NEAREST))
        ids = np.arange(int(small.max()) + 1, dtype=np.uint8)
    else:
        small = _sample(mask, network_hw, stride)
        ids = np.union1d(np.uint8(0), mask)
        _keep_every_object(small, mask, ids, network_hw, stride)
    return MaskLabels((small.reshape(-1, 1) == ids).astype(np.float32), ids)


def harden(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """One-hot of the best class: float32 [h * w, K] -> [h * w, K], lowest class on ties.

    `hard_prop` of goldens item 29.  The reference loses the highest classes when no pixel votes for them, and then
    fails; K stays fixed here.
    """
    hard: NDArray[np.float32] = (labels.argmax(axis=1)[:, None] == np.arange(labels.shape[1])).astype(np.float32)
    return hard


def _sample(mask: UInt8Array, network_hw: tuple[int, int], stride: int) -> UInt8Array:
    """Mask values at the source pixels that contain network pixels (stride * i, stride * j)."""
    rows, cols = (
        (2 * np.arange(0, net, stride) + 1) * source // (2 * net)
        for net, source in zip(network_hw, mask.shape, strict=True)
    )
    sampled: UInt8Array = mask[rows[:, None], cols]
    return sampled


def _keep_every_object(
    small: UInt8Array, mask: UInt8Array, ids: UInt8Array, network_hw: tuple[int, int], stride: int
) -> None:
    """Give each object that `small` lacks the nearest cell that is not another object's only one; in place."""
    if len(ids) > small.size:
        raise InputError(
            f"the mask holds {len(ids) - 1} objects but frames of {network_hw[0]}x{network_hw[1]} have only "
            f"{small.size} feature cells: ask for a larger --size."
        )
    cells = np.bincount(small.reshape(-1), minlength=256)
    grid = np.indices(small.shape).reshape(2, -1)
    for missing in ids[cells[ids] == 0]:
        if missing == 0:
            continue
        y, x = _middle(mask, missing)
        row = ((y + 0.5) * network_hw[0] / mask.shape[0] - 0.5) / stride
        col = ((x + 0.5) * network_hw[1] / mask.shape[1] - 0.5) / stride
        distance = (grid[0] - row) ** 2 + (grid[1] - col) ** 2
        owner = small.reshape(-1)
        distance[(owner != 0) & (cells[owner] == 1)] = np.inf
        cell = int(distance.argmin())
        cells[owner[cell]] -= 1
        cells[missing] += 1
        small[np.unravel_index(cell, small.shape)] = missing


def _middle(mask: UInt8Array, object_id: int) -> tuple[int, int]:
    """The object's own pixel (y, x) that is nearest to its centroid, which may lie outside of it."""
    pixels = np.argwhere(mask == object_id)
    nearest = ((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1).argmin()
    return int(pixels[nearest, 0]), int(pixels[nearest, 1])
