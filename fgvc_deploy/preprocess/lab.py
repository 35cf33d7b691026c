"""RGB to Lab as OpenCV's float conversion computes it: a 33^3 table of 16-bit values, interpolated in integers.

It differs from the textbook formula by up to 0.43 units (goldens item 3), enough to move a track by a pixel, and
encoders are trained on it; hence bit-for-bit agreement.  Only 8-bit input is handled, so the position in the table
comes from 256 levels per channel.  Normalisation is in `preprocess.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.preprocess.resize import UInt8Array, check_rgb

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]

_GRID = 33
_BASE = 1 << 14  # fixed-point one, of input levels and of table entries
_FRACTION = 16  # steps between two table entries
_BLOCK = 8192  # pixels at a time: the scratch arrays stay in the L2 cache

_RGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_D65 = np.array([0.950456, 1.0, 1.088754])

# Turkowski, "Computing the Cube Root", Apple TR 10 (1998): numerator and denominator on [1/8, 1), error below 2^-24.
_CBRT_TOP = (
    45.2548339756803022511987494,
    192.2798368355061050458134625,
    119.1654824285581628956914143,
    13.43250139086239872172837314,
    0.1636161226585754240958355063,
)
_CBRT_BOTTOM = (
    14.80884093219134573786480845,
    151.9714051044435648658557668,
    168.5254414101568283957668343,
    33.9905941350215598754191872,
    1.0,
)


class _Tables(NamedTuple):
    """Table already interpolated along R for the 256 levels; entries carry a factor 16, in order [B, G, R]."""

    l_a: Int64Array  # [33 * 33 * 256], L in the low 32 bits, a in the high ones
    b: Int64Array  # [33 * 33 * 256]
    cell: Int64Array  # [256] lower grid index of a level, 0..31
    weight: Int64Array  # [256] weight of the upper neighbour, 0..16


def _cube_root(x: Float32Array) -> Float32Array:
    """OpenCV's cube root: a rational polynomial in float64, truncated (not rounded) to float32.

    With a correctly rounded cube root 70 of the 107811 table entries differ by one.
    """
    mantissa, exponent = np.frexp(x.astype(np.float64))
    shift = -(-exponent % 3)
    m = np.ldexp(mantissa, shift)
    root = np.ldexp(np.polyval(_CBRT_TOP, m) / np.polyval(_CBRT_BOTTOM, m), (exponent - shift) // 3)
    dropped_bits = np.int64((1 << 29) - 1)
    truncated: Float32Array = (root.view(np.int64) & ~dropped_bits).view(np.float64).astype(np.float32)
    return truncated


def _lab_curve(x: Float32Array) -> Float32Array:
    linear = (x.astype(np.float64) * np.float32(841 / 108) + np.float32(16 / 116)).astype(np.float32)
    curved: Float32Array = np.where(x > np.float32(216 / 24389), _cube_root(x), linear)
    return curved


def lab_grid() -> Int64Array:
    """The integer table [3, B=33, G=33, R=33]: L * 2^14 / 100, (a + 128) * 2^14 / 256, (b + 128) * 2^14 / 256.

    Float32 arithmetic in OpenCV's order of operations (blue is added first), because the roundings decide entries.
    """
    f32 = np.float32
    level = np.arange(_GRID) / (_GRID - 1)
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(f32)
    blue, green, red = np.meshgrid(linear, linear, linear, indexing="ij")
    coefficients = (_RGB_TO_XYZ * (1.0 / _D65)[:, None]).astype(f32)
    x, y, z = ((blue * c[2] + green * c[1]) + red * c[0] for c in coefficients)
    fx, fy, fz = _lab_curve(x), _lab_curve(y), _lab_curve(z)
    lightness = np.where(y > f32(216 / 24389), f32(116) * fy - f32(16), f32(24389 / 27) * y)
    a = f32(500) * (fx - fy)
    b = f32(200) * (fy - fz)
    base = f32(_BASE)
    entries = [base * lightness / f32(100), base * (a + f32(128)) / f32(256), base * (b + f32(128)) / f32(256)]
    return np.rint(np.stack(entries)).astype(np.int64)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    level = np.arange(256, dtype=np.float32) / np.float32(255)
    position = np.rint(level * np.float32(_BASE)).astype(np.int64)
    cell = np.minimum(position >> 9, _GRID - 2)
    weight = (position - (cell << 9)) >> 5
    lightness, a, b = lab_grid().reshape(3, -1, _GRID)
    # Two values in one integer are interpolated at once: no weighted sum of L reaches the high half.
    return _Tables(_by_level(lightness + (a << 32), cell, weight), _by_level(b, cell, weight), cell, weight)


def _by_level(grid: Int64Array, cell: Int64Array, weight: Int64Array) -> Int64Array:
    """[33 * 33, R=33] -> [33 * 33 * 256], the table interpolated along R for every level."""
    low = grid.take(cell, axis=1)
    low *= _FRACTION - weight
    high = grid.take(cell + 1, axis=1)
    high *= weight
    low += high
    return low.reshape(-1)


def _block_to_lab(rgb: UInt8Array, out: Float32Array, tables: _Tables) -> None:
    """uint8 [n, 3] -> the integer Lab values as float32 [3, n], by interpolation along G and B."""
    red, green, blue = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    entry = (tables.cell[blue] * _GRID + tables.cell[green]) * 256 + red
    weight_b, weight_g = tables.weight[blue], tables.weight[green]
    both = weight_b * weight_g
    only_b, only_g = weight_b * _FRACTION - both, weight_g * _FRACTION - both
    neither = _FRACTION * _FRACTION - both - only_b - only_g
    l_a = tables.l_a.take(entry, mode="clip") * neither
    b = tables.b.take(entry, mode="clip") * neither
    for offset, weight in ((256, only_g), (256 * _GRID, only_b), (256 * (_GRID + 1), both)):
        neighbour = entry + offset
        l_a += tables.l_a.take(neighbour, mode="clip") * weight
        b += tables.b.take(neighbour, mode="clip") * weight
    # The weights of the eight corners add up to 16^3 = 2^12; 2048 rounds the division.
    out[0] = ((l_a & 0xFFFFFFFF) + 2048) >> 12
    out[1] = ((l_a >> 32) + 2048) >> 12
    out[2] = (b + 2048) >> 12


def lab_planes(rgb: UInt8Array) -> Float32Array:
    """uint8 RGB [H, W, 3] -> float32 Lab [3, H, W], contiguous; L 0..100, a and b about -127..127.

    Raises InputError for another dtype or shape.  Source: goldens items 2 and 3.
    """
    check_rgb(rgb)
    tables = _tables()
    pixels = rgb.reshape(-1, 3)
    lab = np.empty((3, len(pixels)), dtype=np.float32)
    for start in range(0, len(pixels), _BLOCK):
        block = slice(start, start + _BLOCK)
        _block_to_lab(pixels[block], lab[:, block], tables)
    lab[0] *= np.float32(100 / _BASE)
    lab[1:] *= np.float32(256 / _BASE)
    lab[1:] -= np.float32(128)
    return lab.reshape(3, *rgb.shape[:2])


def rgb_to_lab(rgb: UInt8Array) -> Float32Array:
    """uint8 RGB [H, W, 3] -> float32 Lab [H, W, 3], equal to cv2.cvtColor(float32(rgb) / 255, COLOR_RGB2Lab)."""
    return np.ascontiguousarray(np.moveaxis(lab_planes(rgb), 0, -1))
