"""Raw training pairs at frame size: two frames of a real video, or of an exact synthetic scene.

Cropping and photometric change are in `prepare.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fgvc_training.data.sources import MaskedVideo, Video
from fgvc_training.data.synthetic.make import make_scene
from fgvc_training.data.videos import FrameVideo
from fgvc_training.edge.flow_estimate import chain, estimate_flow
from fgvc_training.edge.settings import PairSettings

UNKNOWN = 255
NO_POINTS = np.zeros((2, 0, 2), np.float32)


class RawPair(NamedTuple):
    """`frames` uint8 RGB [2, H, W, 3]: reference, target; `flow` [2, H, W] target -> reference in pixels.

    `valid` bool [H, W]: where flow is right; `ids` uint8 [2, H, W]: objects, 0 = background, UNKNOWN in videos
    without masks.  `points` float32 [2, N, 2]: positions (x, y) of the same points on both frames, beside the flow or
    instead of it.  `synthetic`: made of a scene, not filmed.
    """

    frames: NDArray[np.uint8]
    flow: Tensor
    valid: Tensor
    ids: NDArray[np.uint8]
    points: NDArray[np.float32] = NO_POINTS
    synthetic: bool = False


def object_ids(video: Video, index: int) -> NDArray[np.uint8]:
    """`RawPair.ids` of a frame: 1 on its mask, 0 elsewhere, UNKNOWN in a video without masks."""
    if isinstance(video, FrameVideo) and video.masks:
        return (video.mask(index) > 127).astype(np.uint8)
    return np.full(video.read([index]).shape[1:3], UNKNOWN, np.uint8)


def without_flow(
    frames: NDArray[np.uint8], ids: NDArray[np.uint8], points: NDArray[np.float32] = NO_POINTS
) -> RawPair:
    """A pair of which no dense motion is known."""
    height, width = ids.shape[1:]
    return RawPair(frames, torch.zeros(2, height, width), torch.zeros(height, width, dtype=torch.bool), ids, points)


class VideoPairs:
    """Pairs of frames of videos; decoded frames and flow between neighbours are kept in memory."""

    def __init__(self, videos: Sequence[Video], settings: PairSettings) -> None:
        self._videos = tuple(video for video in videos if len(video) > 1)
        self._settings = settings
        self._frame = cache(lambda video, index: self._videos[video].read([index])[0])
        self._mask = cache(lambda video, index: object_ids(self._videos[video], index))
        self._flow = cache(self._estimate)

    def draw(self, rng: np.random.Generator) -> RawPair:
        """Two frames of a random video, in either order; flow only where they are close in time."""
        settings = self._settings
        video = int(rng.integers(len(self._videos)))
        length = len(self._videos[video])
        gap = min(int(rng.integers(1, settings.longest_gap + 1)), length - 1)
        start = int(rng.integers(0, length - gap))
        reference, target = (start, start + gap) if rng.random() < 0.5 else (start + gap, start)
        frames = np.stack([self._frame(video, index) for index in (reference, target)])
        ids = np.stack([self._mask(video, index) for index in (reference, target)])
        if gap > settings.longest_chain:
            return without_flow(frames, ids)
        step = 1 if reference > target else -1
        times = range(target, reference, step)
        flow, valid = chain(
            [self._flow(video, t, t + step).float() for t in times],
            [self._flow(video, t + step, t).float() for t in times],
            settings.tolerance,
        )
        return RawPair(frames, flow, valid, ids)

    def _estimate(self, video: int, frame: int, other: int) -> Tensor:
        # Half precision halves a gigabyte; a flow of 50 px is then right to 0.02 px.
        return estimate_flow(self._frame(video, frame), self._frame(video, other)).half()


class ScenePairs:
    """First and last frame of synthetic scenes, from a fixed pool that is filled as it is used."""

    def __init__(self, videos: Sequence[MaskedVideo], settings: PairSettings, seed: int) -> None:
        self._videos = tuple(videos)
        self._settings = settings
        self._seed = seed
        self._pair = cache(self._make)

    def draw(self, rng: np.random.Generator) -> RawPair:
        """A random pair of the pool."""
        return self._pair(int(rng.integers(self._settings.pool)))._replace(synthetic=True)

    def _make(self, number: int) -> RawPair:
        rng = np.random.default_rng((self._seed, number))
        scene = make_scene(self._videos, self._settings.scenes, rng)
        reference, target = (0, len(scene) - 1) if rng.random() < 0.5 else (len(scene) - 1, 0)
        images = torch.stack([scene.image(frame) for frame in (reference, target)])
        flow, visible = scene.flow(target, reference)
        ids = torch.stack([scene.ids(frame) for frame in (reference, target)])
        frames = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return RawPair(frames, flow.float(), visible, ids.byte().numpy())
