"""What a stream makes its process hold more, from one turn to a later one: `python memory_growth.py STREAM [VIDEO]`.

`test_memory.py` starts this as a process of its own and judges the figures.  In the tests' own process the leftovers
of other tests would be measured too: their threads, their garbage, pages that the kernel joins.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.source import open_source

Frames = Iterator[NDArray[np.uint8]]
STRIDE = 4
HEIGHT, WIDTH = 40, 56
# After so many frames the picture starts again.
PERIOD = 12


class Use(NamedTuple):
    """What this process holds: bytes traced, bytes resident, open files."""

    traced: int
    resident: int
    files: int


def use() -> Use:
    gc.collect()
    _clear_attribute_cache()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Use(tracemalloc.get_traced_memory()[0], pages * os.sysconf("SC_PAGE_SIZE"), files)


def _clear_attribute_cache() -> None:
    """Python keeps the names of attributes that were looked up, by address, and every `np.cumsum` makes a new one.

    Hundreds of them are kept, 30 kB, and how fast they gather depends on where the allocator puts them.
    """
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()


class PatchEncoder:
    """A feature is the 4 x 4 pixels it stands for: no network, so that a step takes milliseconds."""

    name = "patch"

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        _, channels, height, width = x.shape
        blocks = x.reshape(channels, height // STRIDE, STRIDE, width // STRIDE, STRIDE).transpose(1, 3, 0, 2, 4)
        return np.ascontiguousarray(blocks.reshape(height // STRIDE, width // STRIDE, -1))


def engine(overlap: bool) -> Engine:
    """Little to match: what is kept from frame to frame does not depend on it."""
    encoder = EncoderSettings(arch="patch", stride=STRIDE, channels=3 * STRIDE**2)
    settings = PropagationSettings(radius=2, memory=2)
    return Engine(encoder, PreprocessSettings(), settings, "native", PatchEncoder(), TiledBackend(1), overlap)


def frames() -> Frames:
    """Noise that moves a little every frame, without end, each frame in new memory as from a decoder."""
    noise = np.random.default_rng(7).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    for number in count():
        yield np.roll(noise, (number % PERIOD, 2 * (number % PERIOD)), (0, 1))


def points(frames: Frames) -> Iterator[Any]:
    """A person adds points every ten frames and the oldest are removed, so groups come and go."""
    tracker = PointTracker(engine(overlap=False))
    for number, frame in enumerate(frames):
        if number % 10 == 0:
            tracker.add_points(np.array([[20 + number % 13, 20], [30, 23]]))
            tracker.remove_points(tracker.ids[:-4])
        yield tracker.step(frame)


def point_video(frames: Frames) -> Iterator[Any]:
    """A whole video's points, the next frame encoded in a thread of its own."""
    return point_frames(frames, PointTracker(engine(overlap=True)), np.array([[0, 20, 20], [9, 23, 30]], np.float32))


def mask_video(frames: Frames) -> Iterator[Any]:
    """A whole video's mask, the next frame encoded in a thread of its own."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[12:30, 20:40] = 5
    return mask_frames(frames, MaskTracker(engine(overlap=True), mask))


def reading(frames: Frames, video: str) -> Iterator[int]:
    """In every turn a video is read to its end, then its first frame only."""
    for _ in frames:
        with open_source(video) as source:
            yield sum(1 for _ in source) + len(next(iter(source)))


def leaking(frames: Frames) -> Iterator[None]:
    """What must be noticed: in every turn 100 bytes and an open file are kept."""
    kept = []
    for _ in frames:
        kept.append((np.zeros(100, np.uint8), os.dup(0)))
        yield


# Of each stream: the turn after which its rings and pools are full, and the turn to compare with.
STREAMS: dict[str, tuple[Callable[..., Iterator[Any]], int, int]] = {
    "points": (points, 50, 250),
    "point_video": (point_video, 50, 250),
    "mask_video": (mask_video, 50, 250),
    "reading": (reading, 5, 25),
    "leaking": (leaking, 50, 250),
}


def growth(stream: Callable[[Frames], Iterator[Any]], first: int, last: int) -> Use:
    """How much more is held after `last` turns than after `first`.

    It is read when the next frame is asked for: then the thread that encodes ahead has nothing in hand.
    """
    readings = []

    def measured() -> Frames:
        for turn, frame in enumerate(islice(frames(), last + 1)):
            if turn in (first, last):
                readings.append(use())
            yield frame

    tracemalloc.start()
    # The first reading imports what it needs.
    use()
    for _ in stream(measured()):
        pass
    before, after = readings
    return Use(*(later - earlier for earlier, later in zip(before, after, strict=True)))


if __name__ == "__main__":
    make, *turns = STREAMS[sys.argv[1]]
    print(json.dumps(growth(lambda given: make(given, *sys.argv[2:]), *turns)._asdict()))
