"""Synthetic scenes with exact tracks and occlusion: objects of videos no encoder here was trained on.

Scene i of a split is always the same.  `--split test` (default) and `--split calibration` use different source
videos; what is chosen on one is reported on the other.  Scored like TAP-Vid, at 256x256, from the first frame.  It is
a protocol of this project.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Frame, Marks, Runs, Scores, Task
from fgvc_benchmarks.accuracy.tasks.points import PointTruth, score_points, shown
from fgvc_benchmarks.extras import require
from fgvc_deploy.errors import InputError
from fgvc_deploy.tracks import Tracks

if TYPE_CHECKING:
    from fgvc_training.data.synthetic.scene import Scene
    from fgvc_training.data.videos import FrameVideo

SIDE, FRAMES, LAYERS = 256, 24, (2, 4)
SCENES = 16
QUERIES = 64
"""Half of them anywhere, half on objects as far as there are any."""
SPLITS = {
    "calibration": ("breakdance-flare", "flamingo", "lucia"),
    "test": ("mallard-fly", "motorbike", "rhino"),
}
"""The sequences of davis16_train256 that training/configs/edge.toml holds out, in two halves."""


class SyntheticClip(NamedTuple):
    """`frames` uint8 [T, H, W, 3], `queries_tyx` [N, 3] on frame 0, `tracks` [N, T, 2], `occluded` bool [N, T]."""

    name: str
    frames: Frame
    queries_tyx: NDArray[np.float64]
    tracks: NDArray[np.float64]
    occluded: NDArray[np.bool_]


class Synthetic(Task[SyntheticClip, Tracks]):
    """TAP-Vid's figures as fractions; predictions are `Tracks`."""

    name = "synthetic"
    unit = "fraction"
    counts_visibility = True
    about = "average Jaccard and occlusion accuracy on exact scenes; ROOT is a folder of the DAVIS layout"
    protocol_size = f"{SIDE}x{SIDE}"

    def headline(self, options: EvalOptions) -> str:
        """AJ; under `reference`, which predicts no visibility, <delta_avg."""
        return "average_pts_within_thresh" if options.reference else "average_jaccard"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[SyntheticClip]:
        """The split's scenes, made one at a time."""
        require("torch")
        split = options.split or "test"
        videos = source_videos(root, split)
        for number in range(SCENES):
            yield make_clip(videos, f"{split}_{number:02d}")

    def predict(self, clip: SyntheticClip, run: Runs, options: EvalOptions) -> Tracks:
        """All queries from the first frame."""
        return run.points(clip.frames, clip.queries_tyx)

    def score(self, clip: SyntheticClip, prediction: Tracks, options: EvalOptions) -> Scores:
        """Against exact tracks and visibility."""
        truth = PointTruth(np.zeros(len(clip.tracks), np.int64), clip.tracks, clip.occluded)
        return Scores(figures=score_points(truth, prediction.tracks, prediction.visible, options))

    def marks(self, clip: SyntheticClip, prediction: Tracks, options: EvalOptions) -> Marks:
        """Every track; rings where hidden is predicted, the truth where it is visible."""
        return Marks(prediction.tracks, prediction.visible & shown(prediction), clip.tracks, ~clip.occluded)


def source_videos(root: Path, split: str) -> list[FrameVideo]:
    """Videos whose frames and objects the scenes of a split are made of.

    A folder without the sequences of `SPLITS` is split by name: every second video belongs to `test`.
    Raises InputError for an unknown split, or a folder without videos and masks.
    """
    from fgvc_training.data.videos import read_davis
    from fgvc_training.errors import DataError

    if split not in SPLITS:
        raise InputError(f"there is no split {split!r} of synthetic scenes; choose from {', '.join(SPLITS)}.")
    try:
        videos = read_davis(root, resolution="480p" if (root / "JPEGImages" / "480p").is_dir() else None)
    except DataError as error:
        raise InputError(f"no scenes can be made of {root}: {error}.") from None
    named = [video for video in videos if video.name in SPLITS[split]]
    return named or videos[list(SPLITS).index(split) % len(videos) :: 2]


def make_clip(videos: Sequence[FrameVideo], name: str) -> SyntheticClip:
    """The scene of this name; its name is its seed."""
    import torch

    from fgvc_training.data.synthetic.make import SceneSettings, make_scene, render

    settings = SceneSettings(size=(SIDE, SIDE), frames=FRAMES, layers=LAYERS)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    scene = make_scene(videos, settings, rng)
    frames = render(scene, settings, rng)
    queries = random_queries(scene, rng)
    truth = scene.track(torch.from_numpy(queries))
    return SyntheticClip(name, frames, queries, truth.tracks.numpy(), truth.occluded.numpy())


def random_queries(scene: Scene, rng: np.random.Generator) -> NDArray[np.float64]:
    """Positions (0, y, x) between pixels, [QUERIES, 3]."""
    on_objects = np.argwhere(scene.ids(0).numpy() > 0)
    anywhere = rng.uniform(0, SIDE - 1, (QUERIES, 2))
    if len(on_objects):
        half = QUERIES // 2
        anywhere[:half] = on_objects[rng.integers(len(on_objects), size=half)]
    return np.concatenate([np.zeros((QUERIES, 1)), anywhere], axis=1)
