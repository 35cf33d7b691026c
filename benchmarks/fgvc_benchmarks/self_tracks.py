"""Training labels from the tracker itself: points followed through unlabelled video, kept where the way back agrees.

    python -m fgvc_benchmarks.self_tracks --videos DIR --out DIR [--model BUNDLE] [--masks DIR]

For every folder of frames under `--videos` it writes OUT/NAME.npz, which the training task `edge` reads (`tracks`
in its table).  Points start on every `STEP`-th frame and are followed for `SPAN` frames and back again, at a higher
resolution than the student will see; half of them lie on objects where there are masks.  A run that is stopped goes
on with the folders that are missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fgvc_deploy
from fgvc_deploy.model import Model
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.trackers.points import PointTracker

STEP, SPAN, POINTS = 12, 24, 384
SIZE = "short:384"
AGREE_PX = 3.0
"""How far forward and backward positions may differ, in pixels of a frame 256 high."""


class Followed(NamedTuple):
    """Points from one start: positions [T, N, 2] (x, y) in frame pixels, and bool [T, N] where to trust them."""

    xy: NDArray[np.float32]
    good: NDArray[np.bool_]


class VideoTracks(NamedTuple):
    """One file: `starts` int64 [S]; `xy` float32 [S, SPAN + 1, N, 2]; `good` bool [S, SPAN + 1, N]."""

    starts: NDArray[np.int64]
    xy: NDArray[np.float32]
    good: NDArray[np.bool_]


class Follower:
    """Follows points through one video whose features are computed once."""

    def __init__(self, model: Model, frames: Sequence[NDArray[np.uint8]]) -> None:
        self._model = model
        self._frames = frames
        self._features: dict[int, FeatureMap] = {}

    def there_and_back(self, start: int, stop: int, points: NDArray[np.float32]) -> Followed:
        """Points on frame `start` through frame `stop` and back; both ends included."""
        times = list(range(start, stop + 1))
        there = self._follow(times, points)
        back = self._follow(times[::-1], there[-1])
        allowed = AGREE_PX * self._frames[0].shape[0] / 256
        near = np.linalg.norm(there - back[::-1], axis=-1) < allowed
        # A track that does not come home may have been lost anywhere: none of it is used.
        return Followed(there, near & near[0])

    def _follow(self, times: Sequence[int], points: NDArray[np.float32]) -> NDArray[np.float32]:
        tracker = self._model.point_tracker(size=SIZE)
        tracker.add_points(points)
        steps = []
        for time in times:
            tracker.open(self._frames[time])
            steps.append(tracker.step_features(self._encoded(tracker, time)))
        return np.stack([step.xy for step in steps])

    def _encoded(self, tracker: PointTracker, time: int) -> FeatureMap:
        if time not in self._features:
            self._features[time] = tracker.encode(self._frames[time])
        return self._features[time]


def follow_video(
    model: Model, frames: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.bool_]] | None, seed: int = 0
) -> VideoTracks:
    """Tracks from every STEP-th frame of a video of uint8 RGB frames [H, W, 3]."""
    rng = np.random.default_rng(seed)
    follower = Follower(model, frames)
    starts = list(range(0, max(len(frames) - STEP, 1), STEP))
    xy = np.zeros((len(starts), SPAN + 1, POINTS, 2), np.float32)
    good = np.zeros((len(starts), SPAN + 1, POINTS), bool)
    for row, start in enumerate(starts):
        stop = min(start + SPAN, len(frames) - 1)
        points = starting_points(frames[start].shape[:2], None if masks is None else masks[start], rng)
        followed = follower.there_and_back(start, stop, points)
        xy[row, : stop - start + 1], good[row, : stop - start + 1] = followed.xy, followed.good
    return VideoTracks(np.asarray(starts), xy, good)


def starting_points(
    hw: tuple[int, ...], mask: NDArray[np.bool_] | None, rng: np.random.Generator
) -> NDArray[np.float32]:
    """POINTS positions (x, y) [POINTS, 2]: half of them on the object, if there is one."""
    anywhere = np.arange(hw[0] * hw[1])
    objects = np.flatnonzero(mask) if mask is not None and mask.any() else anywhere
    half = POINTS // 2
    chosen = np.concatenate([rng.choice(objects, half), rng.choice(anywhere, POINTS - half)])
    return np.stack((chosen % hw[1], chosen // hw[1]), axis=1).astype(np.float32)


def read_images(folder: Path, mode: str) -> list[NDArray[np.uint8]]:
    """The images of a folder by name, in the colours of Pillow's `mode`."""
    return [np.asarray(Image.open(path).convert(mode)) for path in sorted(folder.iterdir())]


def main() -> None:
    """Write the files that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder of folders of frames")
    parser.add_argument("--masks", type=Path, default=None, help="folder of folders of masks, named as the frames")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=None, help="bundle that follows; default: the one shipped")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    model = fgvc_deploy.load(arguments.model, threads=arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for folder in sorted(path for path in arguments.videos.iterdir() if path.is_dir()):
        target = arguments.out / f"{folder.name}.npz"
        if target.exists():
            continue
        frames = read_images(folder, "RGB")
        masks = arguments.masks and [image > 127 for image in read_images(arguments.masks / folder.name, "L")]
        tracks = follow_video(model, frames, masks)
        partial = target.with_suffix(".part.npz")
        np.savez_compressed(partial, **tracks._asdict())
        partial.replace(target)
        print(f"{folder.name}: {len(tracks.starts)} starts, {tracks.good[:, 1:].mean():.2f} of the positions kept")


if __name__ == "__main__":
    main()
