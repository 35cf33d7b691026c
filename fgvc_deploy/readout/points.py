"""Fast point read-out: the same coordinates as `points_dense.py` without upsampling whole maps.

An upsampled value is a mean of the four features around it, so it is at most their maximum.  Per label map: read some
pixels around the best feature; the fifth best of them is a bound that the five best pixels of the whole map reach;
then upsample only the blocks of pixels that touch a feature at or above the bound, by the same float32 arithmetic as
the plain version.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.readout.centroid import TOP, BestPixels, PointReadout, centroid
from fgvc_deploy.readout.points_dense import best_pixels, read_points_dense
from fgvc_deploy.readout.resample import Float32Array, MapTaps, Taps, map_taps, resize_maps
from fgvc_deploy.settings import Compat

IntArray = NDArray[np.intp]

_CHUNK = 256  # label maps at a time, which bounds the scratch memory
_WINDOW = 5  # side of the square of pixels, around the best feature, that the bound is taken from
_CROWD = 256  # features at or above the bound from which on a map is read densely: a plateau, or noise
# The roundings of the two mixes can lift a value above its four features by a few units in the last place.
_SLACK = np.float32(1 - 2.0**-20)


class _Axis(NamedTuple):
    """One axis of the upsampling; the outputs that share their two input samples form a block."""

    taps: Taps
    start: IntArray  # [n_in] first output of block i, whose low sample is i
    length: IntArray  # [n_in] outputs of block i
    centre: IntArray  # [n_in] the output nearest to input sample i


class _Grid(NamedTuple):
    """Geometry of one read-out: features (h, w), network pixels (H, W) and both axes between them."""

    feature_hw: tuple[int, int]
    network_hw: tuple[int, int]
    taps: MapTaps
    rows: _Axis
    cols: _Axis


def read_points(
    labels: Float32Array,
    feature_hw: tuple[int, int],
    network_hw: tuple[int, int],
    stride: int,
    compat: Compat = "corrected",
) -> PointReadout:
    """Coordinates, in network pixels, of P label maps given pixel-major: float32 [h * w, P], values >= 0.

    The five pixels averaged are those of `read_points_dense`, bit for bit, lower raster index first among ties.
    Source: goldens items 23 to 25; issue 3 item 4.
    """
    if min(network_hw) < _WINDOW:
        return read_points_dense(labels, feature_hw, network_hw, stride, compat)
    grid = _grid(feature_hw, network_hw, stride, compat)
    n_points = labels.shape[1]
    best = BestPixels(np.zeros((n_points, TOP), np.float32), np.zeros((n_points, TOP), np.intp))
    for start in range(0, n_points, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        _read_chunk(labels[:, chunk], grid, BestPixels(best.values[chunk], best.pixels[chunk]))
    return centroid(best, network_hw[1], compat)


@lru_cache(maxsize=16)
def _grid(feature_hw: tuple[int, int], network_hw: tuple[int, int], stride: int, compat: Compat) -> _Grid:
    taps = map_taps(feature_hw, network_hw, stride, network_hw, compat)
    return _Grid(feature_hw, network_hw, taps, _axis(taps.rows, feature_hw[0]), _axis(taps.cols, feature_hw[1]))


def _axis(taps: Taps, n_in: int) -> _Axis:
    samples = np.arange(n_in)
    start = np.searchsorted(taps.low, samples, side="left")
    stop = np.searchsorted(taps.low, samples, side="right")
    centre = np.abs(taps.low + taps.weight - samples[:, None]).argmin(axis=1)
    return _Axis(taps, start, stop - start, centre)


def _read_chunk(labels: Float32Array, grid: _Grid, best: BestPixels) -> None:
    """Write the best pixels of every label map into `best`; maps without a positive value are left as they are."""
    bound = _bound(labels, grid)
    high = labels >= bound * _SLACK
    if np.count_nonzero(high) > _CROWD:
        for crowded in np.flatnonzero(np.count_nonzero(high, axis=0) > _CROWD):
            high[:, crowded] = False
            dense = best_pixels(resize_maps(labels[:, crowded].reshape(1, *grid.feature_hw), grid.taps))
            best.values[crowded], best.pixels[crowded] = dense.values[0], dense.pixels[0]
    point, row, col = _blocks(high, grid.feature_hw)
    if len(point) == 0:
        return
    values, pixels = _upsample_blocks(labels, point, row, col, grid)
    block, slot = np.nonzero(values >= bound[point, None])
    _keep_best(point[block], values[block, slot], pixels[block, slot], best)


def _bound(labels: Float32Array, grid: _Grid) -> Float32Array:
    """A value that at least five upsampled pixels of each map reach, [P]; infinite where no label is positive."""
    n_points = labels.shape[1]
    top = labels.max(axis=0)
    top[~(top > 0)] = np.inf
    feature = np.zeros(n_points, np.intp)
    hit, point = np.divmod(np.flatnonzero(labels == top), n_points)
    feature[point] = hit
    size = np.arange(_WINDOW)
    row, col = np.divmod(feature, grid.feature_hw[1])
    y = (grid.rows.centre[row] - _WINDOW // 2).clip(0, grid.network_hw[0] - _WINDOW)[:, None] + size
    x = (grid.cols.centre[col] - _WINDOW // 2).clip(0, grid.network_hw[1] - _WINDOW)[:, None] + size
    rows, cols = (Taps(t.low[i], t.high[i], t.weight[i]) for t, i in ((grid.taps.rows, y), (grid.taps.cols, x)))
    column = np.arange(n_points)[:, None, None]

    def across(feature_row: IntArray) -> Float32Array:
        low = labels[feature_row[:, :, None] * grid.feature_hw[1] + cols.low[:, None, :], column]
        high = labels[feature_row[:, :, None] * grid.feature_hw[1] + cols.high[:, None, :], column]
        return _mix(low, high, cols.weight[:, None, :])

    window = _mix(across(rows.low), across(rows.high), rows.weight[:, :, None]).reshape(n_points, -1)
    bound: Float32Array = np.partition(window, -TOP, axis=1)[:, -TOP]
    bound[np.isinf(top)] = np.inf
    return bound


def _mix(low: Float32Array, high: Float32Array, weight: Float32Array) -> Float32Array:
    """The products and sum of `resample.resize_maps`, in the same order."""
    mixed: Float32Array = low * (np.float32(1) - weight) + high * weight
    return mixed


def _blocks(high: NDArray[np.bool_], feature_hw: tuple[int, int]) -> tuple[IntArray, IntArray, IntArray]:
    """Blocks that touch a feature marked in `high` [h * w, P], each once: label map, low row and low column [n]."""
    height, width = feature_hw
    feature, point = np.divmod(np.flatnonzero(high), high.shape[1])
    row, col = np.divmod(feature, width)
    keys = []
    for up in (0, 1):
        for left in (0, 1):
            inside = (row >= up) & (col >= left)
            keys.append(((point * height + row - up) * width + col - left)[inside])
    point_row, col = np.divmod(np.unique(np.concatenate(keys)), width)
    point, row = np.divmod(point_row, height)
    return point, row, col


def _upsample_blocks(
    labels: Float32Array, point: IntArray, row: IntArray, col: IntArray, grid: _Grid
) -> tuple[Float32Array, IntArray]:
    """Values and raster indices [n, slots] of the pixels of n blocks; unused slots hold -inf."""
    height, width = grid.feature_hw
    y, y_weight = _outputs(grid.rows, row)
    x, x_weight = _outputs(grid.cols, col)
    right = np.minimum(col + 1, width - 1)

    def across(feature_row: IntArray) -> Float32Array:
        low, high = labels[feature_row * width + col, point], labels[feature_row * width + right, point]
        return _mix(low[:, None], high[:, None], x_weight)

    top, bottom = across(row), across(np.minimum(row + 1, height - 1))
    values = _mix(top[:, None, :], bottom[:, None, :], y_weight[:, :, None])
    values[(y < 0)[:, :, None] | (x < 0)[:, None, :]] = -np.inf
    pixels = y[:, :, None] * grid.network_hw[1] + x[:, None, :]
    return values.reshape(len(point), -1), pixels.reshape(len(point), -1)


def _outputs(axis: _Axis, block: IntArray) -> tuple[IntArray, Float32Array]:
    """Outputs of each block, padded with -1 to the length of the longest, and their weights: both [n, slots]."""
    slot = np.arange(axis.length.max())
    output = np.where(slot < axis.length[block, None], axis.start[block, None] + slot, -1)
    return output, axis.taps.weight[output]


def _keep_best(point: IntArray, values: Float32Array, pixels: IntArray, best: BestPixels) -> None:
    """Write the five best of each label map's pixels, by value, then by lower raster index."""
    order = np.lexsort((pixels, -values, point))
    present, first = np.unique(point[order], return_index=True)
    chosen = order[first[:, None] + np.arange(TOP)]
    best.values[present] = values[chosen]
    best.pixels[present] = pixels[chosen]
