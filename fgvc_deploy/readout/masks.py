"""Label maps -> object masks: upsample, stretch each class to 0..1, take the best class (goldens item 28).

Works band by band, so that scratch memory does not grow with the frame or the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.readout.resample import Float32Array, MapTaps, Taps, map_taps, resize_maps
from fgvc_deploy.settings import Compat

UInt8Array = NDArray[np.uint8]
_BAND_PIXELS = 1 << 17

FAINT = 0.05
"""Corrected mode: a class whose best pixel is below this has left the frame.

A pixel with one of its ten equal matches on an object has label 0.1.  Below half of that no pixel of the frame has a
match worth counting, and stretching would turn leftovers into a full-strength object.  Such a class is left out: with
its plain labels it would still win where the stretched background is 0.
"""


class _Band(NamedTuple):
    """Some output rows, the feature rows they read, and the taps between the two."""

    out: slice
    features: slice
    taps: MapTaps


class _Entrant(NamedTuple):
    """A class that competes, and the range of its upsampled map."""

    channel: int
    low: np.float32
    high: np.float32


def _plain(channel: int) -> _Entrant:
    """A class whose values need no stretching."""
    return _Entrant(channel, np.float32(0), np.float32(1))


def read_masks(
    labels: Float32Array,
    ids: UInt8Array,
    feature_hw: tuple[int, int],
    out_hw: tuple[int, int],
    stride: int,
    network_hw: tuple[int, int],
    compat: Compat = "corrected",
    normalise: bool = True,
    faint: float = FAINT,
) -> UInt8Array:
    """Object ids uint8 [H, W] from labels float32 [h * w, K]; `ids` [K] names the classes, the first wins ties.

    `normalise` stretches every class to 0..1 over the frame.  An all-zero class stays 0 (`reference`); one whose
    maximum is below `faint` is left out (`corrected`).  Without `normalise` the plain labels compete.
    """
    maps = np.ascontiguousarray(labels.T).reshape(-1, *feature_hw)
    bands = list(_bands(map_taps(feature_hw, out_hw, stride, network_hw, compat)))
    if normalise:
        entrants = list(_ranges(maps, bands))
        if compat == "reference":
            entrants = [e if e.high > 0 else _plain(e.channel) for e in entrants]
        else:
            entrants = [e for e in entrants if e.high >= faint]
    else:
        entrants = [_plain(channel) for channel in range(len(maps))]
    mask = np.full(out_hw, ids[0], dtype=np.uint8)
    for band in bands:
        best = np.full(mask[band.out].shape, -np.inf, dtype=np.float32)
        for channel, low, high in entrants:
            value = resize_maps(maps[channel, band.features], band.taps)
            if normalise:
                value -= low
                value /= high - low + np.float32(1e-12)
            better = value > best
            np.copyto(best, value, where=better)
            np.copyto(mask[band.out], ids[channel], where=better)
    return mask


def resize_mask(mask: UInt8Array, out_hw: tuple[int, int]) -> UInt8Array:
    """Nearest resize of uint8 [H, W] as the reference shows its first frame: source index floor(i * H / h)."""
    rows, cols = (np.arange(out) * source // out for out, source in zip(out_hw, mask.shape, strict=True))
    resized: UInt8Array = mask[rows[:, None], cols]
    return resized


def _bands(taps: MapTaps) -> Iterator[_Band]:
    rows = taps.rows
    step = max(1, _BAND_PIXELS // len(taps.cols.low))
    for start in range(0, len(rows.low), step):
        out = slice(start, min(start + step, len(rows.low)))
        first, last = int(rows.low[out.start]), int(rows.high[out.stop - 1])
        local = Taps(rows.low[out] - first, rows.high[out] - first, rows.weight[out])
        yield _Band(out, slice(first, last + 1), MapTaps(local, taps.cols))


def _ranges(maps: Float32Array, bands: list[_Band]) -> Iterator[_Entrant]:
    """Every class with the smallest and largest value of its upsampled map."""
    for channel, plane in enumerate(maps):
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for band in bands:
            value = resize_maps(plane[band.features], band.taps)
            low, high = min(low, value.min()), max(high, value.max())
        yield _Entrant(channel, low, high)
