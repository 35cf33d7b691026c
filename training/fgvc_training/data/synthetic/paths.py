"""Smooth random motion over time: how far things go, and how a layer's homographies and warp come from that."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fgvc_training.data.synthetic.motion import MAX_SLOPE, Motion

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SLOWEST = 0.05
"""Each motion's speed is drawn log-uniformly between this share of the largest and the largest: most are slow."""
MIN_PERIOD = 8.0
"""Frames of the shortest swing."""


class MotionSettings(BaseModel):
    """Largest change between neighbouring frames: shift in pixels, turn in radians, zoom as a factor minus 1.

    `tilt` is the largest foreshortening across the layer (perspective), `bend` the largest slope of the non-rigid
    warp and `bends` its number of waves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: NonNegative = 12.0
    turn: NonNegative = 0.08
    zoom: NonNegative = 0.05
    tilt: Annotated[float, Field(ge=0, le=0.4)] = 0.1
    bend: Annotated[float, Field(ge=0, lt=MAX_SLOPE)] = 0.15
    bends: Annotated[int, Field(ge=0, le=8)] = 3


def smooth_path(frames: int, step: float, dims: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random smooth path [frames, dims] from 0; neighbours are at most `step` apart, usually much less."""
    time = np.arange(frames)[:, None, None]
    periods = np.exp(rng.uniform(np.log(MIN_PERIOD), np.log(8 * MIN_PERIOD), (1, 3, dims)))
    phases = rng.uniform(0, 2 * np.pi, (1, 3, dims))
    path: NDArray[np.float64] = np.sin(2 * np.pi * time / periods + phases).sum(1)
    path -= path[:1].copy()
    speed = step * np.exp(rng.uniform(np.log(SLOWEST), 0.0))
    fastest = np.linalg.norm(np.diff(path, axis=0), axis=1).max(initial=0.0)
    path *= speed / max(fastest, 1e-12)
    return path


def random_motion(
    frames: int,
    layer_hw: tuple[int, int],
    centre_xy: tuple[float, float],
    scale: float,
    settings: MotionSettings,
    rng: np.random.Generator,
) -> Motion:
    """Motion of a layer that starts with its centre at `centre_xy` of the frame, enlarged `scale` times."""
    half = np.array((layer_hw[1] - 1, layer_hw[0] - 1)) / 2
    radius = float(np.linalg.norm(half))
    centre = np.array(centre_xy) + smooth_path(frames, settings.shift, 2, rng)
    angle = smooth_path(frames, settings.turn, 1, rng)[:, 0]
    size = scale * np.exp(np.clip(smooth_path(frames, np.log1p(settings.zoom), 1, rng)[:, 0], -0.5, 0.5))
    # A sine keeps the tilt bounded however long the clip is.
    tilt = settings.tilt * np.sin(rng.uniform(0, 2 * np.pi, 2) + smooth_path(frames, 0.3, 2, rng)) / (2 * radius)
    matrices = np.zeros((frames, 3, 3))
    cosine, sine = size * np.cos(angle), size * np.sin(angle)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = cosine, -sine, sine, cosine
    matrices[:, 2, :2], matrices[:, 2, 2] = tilt, 1.0
    to_origin, place = np.eye(3), np.broadcast_to(np.eye(3), matrices.shape).copy()
    to_origin[:2, 2], place[:, :2, 2] = -half, centre
    return _bent(place @ matrices @ to_origin, radius, settings, rng)


def _bent(matrices: NDArray[np.float64], radius: float, settings: MotionSettings, rng: np.random.Generator) -> Motion:
    """The homographies with waves of one to three periods across the layer, their slopes sharing `settings.bend`."""
    frames, count = len(matrices), settings.bends
    directions = rng.uniform(0, 2 * np.pi, count)
    numbers = 2 * np.pi * rng.uniform(0.5, 1.5, count) / radius
    waves = numbers[:, None] * np.stack((np.cos(directions), np.sin(directions)), axis=-1)
    swing = np.sin(rng.uniform(0, 2 * np.pi, (1, count)) + smooth_path(frames, 0.5, count, rng))
    towards = rng.normal(size=(count, 2))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    largest = settings.bend * rng.uniform() / (max(count, 1) * numbers)
    amplitudes = (swing * largest)[..., None] * towards
    phases = rng.uniform(0, 2 * np.pi, count)
    return Motion(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (matrices, amplitudes, waves, phases)))
