"""The clip that the task figure is measured on: the first frames of a video, or the synthetic one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.video.source import open_source
from fgvc_export.synthetic_clip import synthetic_clip

# Long enough that the memory of first + last five frames is full and labels have been carried ten times.
MAX_FRAMES = 16


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames uint8 RGB [H, W, 3], their name, and the network size to track at (None: the bundle's default)."""

    name: str
    frames: list[NDArray[np.uint8]]
    size: str | None

    def describe(self) -> str:
        """For the manifest: "synthetic clip, 12 frames of 128x96"."""
        height, width = self.frames[0].shape[:2]
        return f"{self.name}, {len(self.frames)} frames of {width}x{height}"


def load_clip(source: str | None) -> Clip:
    """The synthetic clip for None, else up to 16 frames of a video; `InputError` when it has fewer than two."""
    if source is None:
        # Tracked as small as it is: enlarging a synthetic texture would only make it smoother.
        return Clip("synthetic clip", synthetic_clip(), "native")
    with open_source(source) as video:
        frames = [frame.copy() for frame in itertools.islice(video, MAX_FRAMES)]
    if len(frames) < 2:
        raise InputError(
            f"{source}: has fewer than two frames, so nothing can be tracked; give another --parity-clip."
        )
    return Clip(source_name(source), frames, None)


def source_name(source: str) -> str:
    """What the manifest may say of a source: the file's name, without an address's password or token."""
    return Path(urlsplit(source).path if "://" in source else source).name
