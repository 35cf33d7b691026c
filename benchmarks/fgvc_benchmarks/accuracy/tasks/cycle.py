"""Cycle consistency: points followed to the end of a clip and back should return to where they started.

It needs no annotation, so any video will do: every video file and every folder of images below ROOT is a clip.  The
way back is a tracker of its own that starts on the last frame, where the way there ended; on a palindrome of frames
the last frame would be matched to itself.  A point that leaves the image or is covered cannot return; this costs all
settings alike.  It is a protocol of this project, for choosing settings, and says nothing about absolute accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Frame, Marks, Runs, Scores, Task, known
from fgvc_benchmarks.datasets.tapvid import pixels_to_scored
from fgvc_benchmarks.metrics.tapvid import THRESHOLDS
from fgvc_deploy.errors import InputError
from fgvc_deploy.video.base import FrameSource
from fgvc_deploy.video.images import is_image
from fgvc_deploy.video.source import open_source

Floats = NDArray[np.floating]
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
MOST_FRAMES = 20
PER_SIDE = 6


class CycleClip(NamedTuple):
    """The first frames of a video, uint8 [T, H, W, 3]."""

    name: str
    frames: Frame


class Cycle(Task[CycleClip, Floats]):
    """Shares of points that return to within 1 .. 16 px at 256x256; predictions are [N, 2, T, 2]: there, and back."""

    name = "cycle"
    unit = "fraction"
    about = "points that return to their start; ROOT is a folder of videos or of folders of frames"

    def headline(self, options: EvalOptions) -> str:
        """Like <delta_avg, of the start."""
        return "average_returned_within_thresh"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[CycleClip]:
        """Every video below the folder."""
        found = sorted({path.parent for path in root.rglob("*") if is_image(path)}) if root.is_dir() else []
        videos = sorted(path for path in root.rglob("*") if path.suffix.lower() in VIDEOS) if root.is_dir() else []
        if not found and not videos:
            raise InputError(f"{root} holds neither videos nor folders of images: check --root.")
        for path in [*videos, *found]:
            with open_source(path) as source:
                yield CycleClip(path.relative_to(root).as_posix(), first_frames(source))

    def predict(self, clip: CycleClip, run: Runs, options: EvalOptions) -> Floats:
        """A grid there and back."""
        there = run.points(clip.frames, start(clip)).tracks
        turned = np.concatenate([np.zeros((len(there), 1)), there[:, -1, ::-1]], axis=1)
        back = run.points(clip.frames[::-1], turned).tracks
        return np.stack([there, back[:, ::-1]], axis=1)

    def score(self, clip: CycleClip, prediction: Floats, options: EvalOptions) -> Scores:
        """Distances between start and return."""
        hw = (clip.frames.shape[1], clip.frames.shape[2])
        began, returned = (pixels_to_scored(prediction[:, way, 0], hw) for way in (0, 1))
        distance = np.linalg.norm(returned - began, axis=-1)
        shares = {f"returned_within_{t}": known(float((distance < t).mean())) for t in THRESHOLDS}
        mean = known(float(np.mean([(distance < t).mean() for t in THRESHOLDS])))
        return Scores(figures={"average_returned_within_thresh": mean, **shares})

    def marks(self, clip: CycleClip, prediction: Floats, options: EvalOptions) -> Marks:
        """The way back, with lines to the way there."""
        everywhere = np.ones((prediction.shape[0], prediction.shape[2]), bool)
        return Marks(prediction[:, 1], everywhere, prediction[:, 0], everywhere)


def first_frames(source: FrameSource, most: int = MOST_FRAMES) -> Frame:
    """The first frames of an open source."""
    return np.stack(list(islice(source, most)))


def start(clip: CycleClip) -> NDArray[np.float64]:
    """A grid of queries (0, y, x), a tenth of the frame away from its borders."""
    height, width = clip.frames.shape[1:3]
    y, x = (np.linspace(0.1 * side, 0.9 * side, PER_SIDE) for side in (height - 1, width - 1))
    grid = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([np.zeros((len(grid), 1)), grid], axis=1)
