"""Memory of a stream: the same after 50 frames and after 250, and a step that allocates no label maps."""

from __future__ import annotations

import dataclasses
import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.propagation.select import create_propagation
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.source import open_source
from fgvc_deploy.video.writer import VideoWriter
from fgvc_kernels import native

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
FIRST, LAST = 50, 250
# Python's own caches and the interpreter's free lists come and go; one label map of these tests is 20 kB a point.
FLAT_BYTES = 16_384
RESIDENT_BYTES = 5 * 2**20


@dataclasses.dataclass(frozen=True)
class Use:
    """What a process holds: bytes traced, bytes resident, open files."""

    traced: int
    resident: int
    files: int


def use() -> Use:
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system has no /proc to read memory and open files from")
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return Use(tracemalloc.get_traced_memory()[0], pages * os.sysconf("SC_PAGE_SIZE"), files)


@pytest.fixture
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def endless(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    """The clip forth and back, each frame in new memory as from a decoder."""
    for number in count():
        position = number % (2 * len(clip) - 2)
        yield clip[min(position, 2 * len(clip) - 2 - position)].copy()


def points(engine: Engine, clip: Clip) -> Iterator[Any]:
    """A person adds a point every ten frames and the oldest are removed, so groups come and go."""
    tracker = PointTracker(engine)
    for number, frame in enumerate(endless(clip)):
        if number % 10 == 0:
            tracker.add_points(np.array([[20 + number % 13, 20], [30, 23]]))
            tracker.remove_points(tracker.ids[:-4])
        yield tracker.step(frame)


def point_video(engine: Engine, clip: Clip) -> Iterator[Any]:
    return point_frames(endless(clip), PointTracker(engine), np.array([[0, 20, 20], [9, 23, 30]], np.float32))


def mask_video(engine: Engine, clip: Clip) -> Iterator[Any]:
    mask = np.zeros(clip.shape[1:3], np.uint8)
    mask[12:30, 20:40] = 5
    return mask_frames(endless(clip), MaskTracker(engine, mask))


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize(("kind", "ahead"), [(points, False), (point_video, True), (mask_video, True)])
def test_memory_is_flat(kind: Any, ahead: bool, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """Issues 2 and 3; the proof over 10 000 frames is `python -m fgvc_benchmarks.soak`."""
    small = np.ascontiguousarray(moving_clip[:, :40, :56])
    # Little to match: what is kept from frame to frame does not depend on it.
    settings = PropagationSettings(radius=2, memory=2)
    engine = dataclasses.replace(quick_engine(stride=4), propagation=settings, matcher=TiledBackend(1), overlap=ahead)
    results = kind(engine, small)
    for _ in islice(results, FIRST):
        pass
    before = use()
    for _ in islice(results, LAST - FIRST):
        pass
    after = use()
    results.close()
    assert after.traced - before.traced < FLAT_BYTES
    assert after.resident - before.resident < RESIDENT_BYTES
    assert after.files == before.files


@pytest.mark.usefixtures("_traced")
def test_reading_videos_leaves_nothing_open(tmp_path: Path, moving_clip: Clip) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25.0, (64, 80), "h264") as writer:
        for frame in moving_clip:
            writer.write(frame)

    def read() -> None:
        with open_source(path) as video:
            assert sum(1 for _ in video) == len(moving_clip)
            assert next(iter(video)).shape == (64, 80, 3)

    for _ in range(5):
        read()
    before = use()
    for _ in range(20):
        read()
    after = use()
    assert after.files == before.files
    assert after.traced - before.traced < FLAT_BYTES
    assert after.resident - before.resident < RESIDENT_BYTES


class Given:
    """An encoder that is never asked."""

    name = "given"

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError


@pytest.mark.usefixtures("_traced")
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_step_allocates_no_label_maps(backend: str, quick_engine: EngineFactory) -> None:
    """1024 points on 48 x 48 features: a label array is 9 MB, and the ring holds all that are needed."""
    if backend == "native" and not native.available()[0]:
        pytest.skip(native.available()[1])
    rng = np.random.default_rng(0)
    matcher = create_propagation(backend, PropagationSettings(), 1)
    engine = dataclasses.replace(quick_engine(), encoder=Given(), matcher=matcher)
    tracker = PointTracker(engine)
    tracker.add_points(rng.uniform(8, 88, (1024, 2)))
    tracker.open(np.zeros((96, 96, 3), np.uint8))
    frames: list[FeatureMap] = [matcher.prepare(rng.random((48, 48, 16), dtype=np.float32)) for _ in range(12)]
    for features in frames[:-1]:
        tracker.step_features(features)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    tracker.step_features(frames[-1])
    after, peak = tracemalloc.get_traced_memory()
    label_bytes = 48 * 48 * 1024 * 4
    assert peak - before < label_bytes
    assert after - before < FLAT_BYTES
