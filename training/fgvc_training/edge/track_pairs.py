"""Pairs of frames with points that were followed through real video, many frames apart.

Flow reaches as far as it can be chained; tracks reach further and hold where motion is fast.  Whatever tracker made
them, the files look alike; `python -m fgvc_benchmarks.self_tracks` makes them with a trained bundle.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_training.data.sources import Video
from fgvc_training.edge.pairs import RawPair, object_ids, without_flow
from fgvc_training.errors import DataError

FEWEST_POINTS = 24
TRIES = 50


class Tracks(NamedTuple):
    """Tracks on one video, from S starts over T frames each.

    `starts` int [S]: first frame of each; `xy` float32 [S, T, N, 2], (x, y) in frame pixels; `good` bool [S, T, N]:
    where a position is to be believed.
    """

    starts: NDArray[np.int64]
    xy: NDArray[np.float32]
    good: NDArray[np.bool_]


def read_tracks(path: Path) -> Tracks:
    """The arrays of an .npz file under the names of `Tracks`.  Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            tracks = Tracks(*(stored[name] for name in Tracks._fields))
    except FileNotFoundError:
        raise DataError(f"there are no tracks {path}: make them with python -m fgvc_benchmarks.self_tracks") from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no file of tracks ({error})") from error
    expected = (len(tracks.starts), *tracks.xy.shape[1:])
    if tracks.xy.shape != expected or tracks.xy.shape[3:] != (2,) or tracks.good.shape != expected[:3]:
        raise DataError(f"{path} holds tracks {tracks.xy.shape} with marks {tracks.good.shape}: they do not fit")
    return tracks


class TrackPairs:
    """Two frames of one run of tracks, in either order, with the points that are good on both."""

    def __init__(self, videos: Sequence[Video], folder: Path) -> None:
        self._videos = tuple(videos)
        self._tracks = tuple(read_tracks(folder / f"{Path(video.name).name}.npz") for video in videos)
        self._frame = cache(lambda video, index: self._videos[video].read([index])[0])
        self._mask = cache(lambda video, index: object_ids(self._videos[video], index))

    def draw(self, rng: np.random.Generator) -> RawPair:
        """A random pair.  Raises DataError if hardly any frames share points."""
        for _ in range(TRIES):
            video = int(rng.integers(len(self._videos)))
            tracks = self._tracks[video]
            run = int(rng.integers(len(tracks.starts)))
            times = rng.choice(tracks.xy.shape[1], 2, replace=False)
            shared = tracks.good[run, times].all(0)
            if shared.sum() >= FEWEST_POINTS:
                frames = [int(tracks.starts[run] + time) for time in times]
                return without_flow(
                    np.stack([self._frame(video, frame) for frame in frames]),
                    np.stack([self._mask(video, frame) for frame in frames]),
                    tracks.xy[run, times][:, shared],
                )
        raise DataError(f"in {TRIES} draws no two frames shared {FEWEST_POINTS} points: make better tracks")
