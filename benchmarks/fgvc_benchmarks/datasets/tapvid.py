"""TAP-Vid pickles in all their layouts: DAVIS, RGB-stacking, Kinetics, and one file per video as FGVC splits them.

A pickle holds a dict (name -> example) or a list of examples, or is one example; a folder holds such pickles.
An example is a dict of `video` uint8 [T, H, W, 3] or T encoded images, `points` [N, T, 2] and `occluded` [N, T].
`points` are (x, y) from 0 to 1 over the image, measured from its top left CORNER (raster coordinates).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvc_benchmarks.datasets.frames import Frames, list_files
from fgvc_benchmarks.datasets.pickles import load_pickle
from fgvc_deploy.errors import InputError

SCORED_HW = (256, 256)
"""Distances are measured on a frame of this size, whatever size was tracked."""


class TapVidVideo(NamedTuple):
    """`frames` of a clip, `points` float64 [N, T, 2] (x, y) in 0..1, `occluded` bool [N, T]."""

    name: str
    frames: Frames
    points: NDArray[np.float64]
    occluded: NDArray[np.bool_]


class EncodedFrames:
    """A clip stored as encoded images (Kinetics: JPEG), decoded when asked for."""

    def __init__(self, images: NDArray[Any]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        with Image.open(io.BytesIO(self._images[index])) as image:
            return np.asarray(image.convert("RGB"))


def read_tapvid(path: Path) -> Iterator[TapVidVideo]:
    """Videos of a pickle, or of all pickles of a folder, one at a time (a DAVIS pickle is read whole: 2.5 GB).

    Raises InputError for a pickle that asks for code, and for anything that is not TAP-Vid.
    """
    for file in list_files(path, (".pkl", ".pickle"), "TAP-Vid pickles") if path.is_dir() else (path,):
        content = load_pickle(file)
        for name, example in _examples(content, file):
            yield _video(example, name, file)


def points_to_pixels(points: NDArray[Any], hw: tuple[int, int], *, reference: bool = False) -> NDArray[np.float64]:
    """Points in 0..1 -> (x, y) pixels of an H x W frame, integer = pixel centre.

    The published code leaves out the half pixel between corner and centre (goldens item 1): `reference=True`.
    """
    return points * np.array(hw[::-1], np.float64) - (0.0 if reference else 0.5)


def pixels_to_scored(
    xy: NDArray[Any], hw: tuple[int, int], *, reference: bool = False, scored_hw: tuple[int, int] = SCORED_HW
) -> NDArray[np.float64]:
    """Tracked (x, y) pixels of an H x W frame -> pixels of the 256x256 frame on which TAP-Vid measures."""
    half = 0.0 if reference else 0.5
    scored: NDArray[np.float64] = (xy + half) * (np.array(scored_hw[::-1]) / np.array(hw[::-1])) - half
    return scored


def _examples(content: Any, file: Path) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and {"video", "points", "occluded"} <= content.keys():
        yield file.stem, content
    elif isinstance(content, dict):
        yield from ((str(name), example) for name, example in content.items())
    elif isinstance(content, list):
        yield from ((f"{file.stem}_{number:04d}", example) for number, example in enumerate(content))
    else:
        raise InputError(f"{file} is no TAP-Vid pickle: it holds a {type(content).__name__}, not a dict or list.")


def _video(example: Any, name: str, file: Path) -> TapVidVideo:
    try:
        video, points, occluded = (np.asarray(example[key]) for key in ("video", "points", "occluded"))
    except (KeyError, TypeError, IndexError):
        raise InputError(f"{file} is no TAP-Vid pickle: {name} lacks video, points or occluded.") from None
    encoded = video.ndim == 1 and len(video) > 0 and isinstance(video[0], bytes)
    if not encoded and (video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8):
        raise InputError(f"{name} in {file} has a video of shape {video.shape}: it must be uint8 [T, H, W, 3].")
    if points.shape != (*occluded.shape, 2) or occluded.ndim != 2 or occluded.shape[1] != len(video):
        raise InputError(
            f"{name} in {file} has points {points.shape} and occluded {occluded.shape} for {len(video)} frames: "
            "they must be [N, T, 2] and [N, T]."
        )
    frames: Frames = EncodedFrames(video) if encoded else video
    return TapVidVideo(name, frames, points.astype(np.float64), occluded.astype(bool))
