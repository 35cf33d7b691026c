"""What training data looks like before it is prepared: videos without labels, and pairs of frames with flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fgvc_training.errors import DataError


class Video(Protocol):
    """A clip that can be read in parts."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The frames at ascending `indices`, uint8 RGB [n, H, W, 3]."""
        ...


class MaskedVideo(Video, Protocol):
    """A video with objects marked, as material for synthetic scenes."""

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Non-zero on the objects of frame `index`, uint8 [H, W]."""
        ...


class FlowPair(NamedTuple):
    """Two frames uint8 [H, W, 3] with dense flow, (x, y) pixels, float32 [H, W, 2].

    `flow` goes from each pixel of `target` to `reference`, `flow_back` the other way.  `visible` bool [H, W], where
    known exactly: pixels of `target` that `reference` shows.
    """

    reference: NDArray[np.uint8]
    target: NDArray[np.uint8]
    flow: NDArray[np.float32]
    flow_back: NDArray[np.float32] | None
    visible: NDArray[np.bool_] | None = None


class FlowPairs(Protocol):
    """Numbered pairs; `rng` is for sources that make them up."""

    def __len__(self) -> int:
        """Number of pairs in one pass."""
        ...

    def pair(self, index: int, rng: np.random.Generator) -> FlowPair:
        """Pair number `index`."""
        ...


def random_clip(
    video: Video, rng: np.random.Generator, *, frames: int = 2, steps: Sequence[int] = (1,)
) -> NDArray[np.uint8]:
    """`frames` frames of a video, a random one of `steps` apart, in either direction of time; uint8 [n, H, W, 3].

    A video too short for the step drawn uses the largest step that fits.  Raises DataError if none does.
    """
    if len(video) < frames:
        raise DataError(f"the video {video.name} has {len(video)} frames, a clip needs {frames}: leave it out")
    longest = (len(video) - 1) // (frames - 1) if frames > 1 else max(steps)
    step = min(int(rng.choice(np.asarray(steps))), longest)
    start = int(rng.integers(0, len(video) - step * (frames - 1)))
    clip = video.read(range(start, start + step * (frames - 1) + 1, step) if frames > 1 else [start])
    return clip[::-1] if rng.random() < 0.5 else clip
