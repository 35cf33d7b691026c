"""A small procedural clip for the task figure when no video is given: textured, moving, with an occluding object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH, FRAMES = 96, 128, 12
_SEED = 7

Float = NDArray[np.float64]


def synthetic_clip() -> list[NDArray[np.uint8]]:
    """Twelve uint8 RGB frames [96, 128, 3]: a panning, turning background behind a disc that moves the other way.

    The same on every machine up to rounding of the last grey level.
    """
    rng = np.random.default_rng(_SEED)
    background, foreground = _texture(rng), _texture(rng)
    return [_frame(background, foreground, t) for t in range(FRAMES)]


def _frame(background: Float, foreground: Float, t: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    angle = 0.01 * t
    back_x = np.cos(angle) * x - np.sin(angle) * y + 1.7 * t
    back_y = np.sin(angle) * x + np.cos(angle) * y - 0.9 * t
    centre_x, centre_y = 45 + 3.1 * t, 50 - 0.7 * t
    image = _sample(background, back_y, back_x)
    front = _sample(foreground, y - centre_y + 90, x - centre_x + 110)
    # A soft edge one pixel wide, as a camera would see it.
    cover = np.clip(22 - np.hypot(x - centre_x, y - centre_y), 0, 1)[..., None]
    mixed: NDArray[np.uint8] = np.rint(image * (1 - cover) + front * cover).astype(np.uint8)
    return mixed


def _texture(rng: np.random.Generator, size: int = 256) -> Float:
    """Noise at several scales, [size, size, 3], 0..255: something to match everywhere, at every level."""
    texture = np.zeros((size, size, 3))
    at = np.arange(size, dtype=np.float64)
    for cell, weight in ((4, 0.3), (8, 0.5), (16, 0.7), (32, 1.0)):
        grid = rng.standard_normal((size // cell, size // cell, 3))
        texture += weight * _sample(grid, *np.meshgrid(at / cell, at / cell, indexing="ij"))
    low, high = texture.min(), texture.max()
    scaled: Float = (texture - low) * (255 / (high - low))
    return scaled


def _sample(image: Float, y: Float, x: Float) -> Float:
    """Bilinear samples of a periodic image [h, w, 3] at y, x."""
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    wy, wx = (y - y0)[..., None], (x - x0)[..., None]
    rows, columns = image.shape[:2]

    def at(dy: int, dx: int) -> Float:
        pixels: Float = image[(y0 + dy) % rows, (x0 + dx) % columns]
        return pixels

    top = at(0, 0) * (1 - wx) + at(0, 1) * wx
    bottom = at(1, 0) * (1 - wx) + at(1, 1) * wx
    mixed: Float = top * (1 - wy) + bottom * wy
    return mixed
