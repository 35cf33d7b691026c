"""What is timed needs something to work on: seeded features like an encoder's, label maps, and a moving scene.

Nothing is downloaded and nothing depends on the machine, so a record can be repeated anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.geometry import Geometry
from fgvc_deploy.labels.gaussian import gaussian_labels

Float32Array = NDArray[np.float32]
Frame = NDArray[np.uint8]

# Shares of a feature's energy: common to all pixels, smooth and moving with the image, new in every frame.
# They give the cosines of the reference's encoder: 0.88 between random pixels, 0.96 between a pixel and itself one
# frame later (goldens README, weights recipe); how many candidates a kernel must look at depends on them.
COMMON, MOVING, NOISE = 0.862, 0.120, 0.018
LABEL_SIGMA = 3.0


def feature_frames(geometry: Geometry, seed: int = 0) -> Float32Array:
    """Non-negative features [frames + 1, H, W, C] of a clip that drifts; the last frame is the query.

    Each frame shows a smooth random field moved by (1, 0.5) pixels, rectified as an encoder's output is.
    """
    rng = np.random.default_rng(seed)
    height, width, channels, count = geometry.height, geometry.width, geometry.channels, geometry.frames + 1
    field = _smooth(rng.standard_normal((height + count + 4, width + count + 4, channels), dtype=np.float32))
    common = np.sqrt(COMMON) * np.abs(rng.standard_normal(channels, dtype=np.float32))
    frames = np.empty((count, height, width, channels), np.float32)
    for t in range(count):
        y = t // 2
        lower, upper = (field[y + d : y + d + height, t : t + width] for d in (0, 1))
        moved = lower if t % 2 == 0 else np.float32(0.5) * (lower + upper)
        noise = rng.standard_normal((height, width, channels), dtype=np.float32)
        frames[t] = common + np.float32(np.sqrt(MOVING)) * moved + np.float32(np.sqrt(NOISE)) * noise
    return np.maximum(frames, 0, out=frames)


def _smooth(field: Float32Array) -> Float32Array:
    """A 4x4 box filter, with the variance brought back to 1."""
    for axis in (0, 1):
        rows = np.moveaxis(field, axis, 0)
        summed = rows[:-3] + rows[1:-2] + rows[2:-1] + rows[3:]
        field = np.moveaxis(summed, 0, axis)
    return np.ascontiguousarray(field / field.std())


def label_frames(geometry: Geometry, points: int, seed: int = 0) -> list[Float32Array]:
    """Gaussian label maps float32 [H*W, P] of points that drift with the features, one array for each key frame."""
    rng = np.random.default_rng(seed)
    start = rng.random((points, 2)) * (geometry.width - 1, geometry.height - 1)
    moves = (start - (t, t / 2) for t in range(geometry.frames))
    return [gaussian_labels(xy, geometry.hw, LABEL_SIGMA, stride=1) for xy in moves]


def scene(hw: tuple[int, int], seed: int = 0) -> Iterator[Frame]:
    """An endless clip, uint8 RGB [H, W, 3]: a textured ground that sways, and a disc that circles over it.

    Everything moves by a fraction of a pixel in every frame, so that no two frames are equal.
    """
    height, width = hw
    rng = np.random.default_rng(seed)
    ground = _texture((height + 33, width + 33), rng)
    disc = _texture((height // 2, width // 2), rng)
    y, x = np.ogrid[: disc.shape[0], : disc.shape[1]]
    radius = min(disc.shape[:2]) / 2
    inside = (y - disc.shape[0] / 2) ** 2 + (x - disc.shape[1] / 2) ** 2 < radius * radius
    for step in itertools.count():
        sway, circle = step * np.sqrt(2) / 16, step / 14
        frame = _window(ground, 16 + 16 * np.sin(sway), 16 + 16 * np.cos(sway), hw)
        top, left = int(height * (0.25 + 0.15 * np.cos(circle))), int(width * (0.25 + 0.15 * np.sin(circle)))
        patch = frame[top : top + disc.shape[0], left : left + disc.shape[1]]
        patch[inside] = disc[inside]
        yield frame.astype(np.uint8)


def _window(image: Float32Array, y: float, x: float, hw: tuple[int, int]) -> Float32Array:
    """The part of an image whose upper left corner is at (x, y), interpolated bilinearly."""
    top, left = int(y), int(x)
    part = image[top : top + hw[0] + 1, left : left + hw[1] + 1]
    rows = part[:-1] + np.float32(y - top) * (part[1:] - part[:-1])
    return np.asarray(rows[:, :-1] + np.float32(x - left) * (rows[:, 1:] - rows[:, :-1]))


def _texture(hw: tuple[int, int], rng: np.random.Generator) -> Float32Array:
    """Noise of several scales, so that neighbouring pixels resemble each other and distant ones do not."""
    total: Float32Array = np.zeros((*hw, 3), np.float32)
    for cell in (2, 5, 11, 29):
        coarse = rng.random((hw[0] // cell + 2, hw[1] // cell + 2, 3), dtype=np.float32)
        total += coarse.repeat(cell, axis=0).repeat(cell, axis=1)[: hw[0], : hw[1]]
    for axis in (0, 1):
        total += (np.roll(total, 1, axis) + np.roll(total, -1, axis) - 2 * total) / np.float32(4)
    return total * np.float32(255 / 4)


def grid_points(hw: tuple[int, int], count: int) -> Float32Array:
    """`count` points (x, y) float32 [P, 2] spread evenly over a frame, at least a sixteenth away from its borders."""
    columns = max(1, round(np.sqrt(count * hw[1] / hw[0])))
    rows = -(-count // columns)
    numbers = np.arange(count)
    # Off the pixel lattice: on it, the five best pixels of a symmetric label map tie.
    x = (numbers % columns + 0.5 + 0.06) / columns
    y = (numbers // columns + 0.5 + 0.03) / rows
    span = 0.875 * np.stack([x, y], axis=1) + 0.0625
    return np.asarray(span * (hw[1] - 1, hw[0] - 1), dtype=np.float32)


def mean_cosines(frames: Sequence[Float32Array], seed: int = 0) -> tuple[float, float]:
    """Mean cosine of random pixels of one frame, and of a pixel with itself one frame later."""
    rng = np.random.default_rng(seed)
    before, after = (f.reshape(-1, f.shape[-1]) / np.linalg.norm(f, axis=-1).reshape(-1, 1) for f in frames[-2:])
    shuffled = after[rng.permutation(len(after))]
    return float((after * shuffled).sum(axis=1).mean()), float((before * after).sum(axis=1).mean())
