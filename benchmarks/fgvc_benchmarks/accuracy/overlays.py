"""Overlays of evaluated clips: what was predicted, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fgvc_benchmarks.accuracy.base import Clip, Frame, Marks, Masks
from fgvc_deploy.overlay import MaskOverlay, PointOverlay
from fgvc_deploy.video.writer import VideoWriter

FPS = 12.0
ERROR_COLOUR = (255, 40, 40)
TRUTH_COLOUR = (255, 255, 255)


def write_overlay(path: Path, clip: Clip, marks: Marks | Masks) -> None:
    """Write an MP4 of the clip: points with a red line to their truth, or masks with the truth's outline in white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = _points(clip, marks) if isinstance(marks, Marks) else _masks(clip, marks)
    with VideoWriter(path, FPS, _hw(clip)) as writer:
        for frame in frames:
            writer.write(frame)


def _hw(clip: Clip) -> tuple[int, int]:
    height, width = clip.frames[0].shape[:2]
    return height, width


def _points(clip: Clip, marks: Marks) -> Iterator[Frame]:
    overlay = PointOverlay(marks.predicted[:, 0], trail=8)
    for t in range(len(clip.frames)):
        drawn = overlay.draw(clip.frames[t], marks.predicted[:, t], marks.visible[:, t])
        rows = marks.known[:, t] & np.isfinite(marks.predicted[:, t]).all(-1)
        yield draw_errors(drawn, marks.predicted[rows, t], marks.truth[rows, t])


def draw_errors(frame: Frame, predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> Frame:
    """A copy of the frame with a line from each prediction [N, 2] to its truth, which gets a white cross."""
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    arm = max(2, round(min(frame.shape[:2]) / 120))
    for (px, py), (tx, ty) in zip(predicted.tolist(), truth.tolist(), strict=True):
        draw.line((px, py, tx, ty), ERROR_COLOUR, max(1, arm // 2))
        draw.line((tx - arm, ty, tx + arm, ty), TRUTH_COLOUR)
        draw.line((tx, ty - arm, tx, ty + arm), TRUTH_COLOUR)
    return np.asarray(image)


def _masks(clip: Clip, masks: Masks) -> Iterator[Frame]:
    overlay = MaskOverlay()
    for t in range(len(clip.frames)):
        drawn = overlay.draw(clip.frames[t], masks.predicted[t])
        drawn[outline(masks.truth[t])] = TRUTH_COLOUR
        yield drawn


def outline(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of a label map [H, W] that differ from the pixel to the right or below."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge
