"""Memory of a stream: the same after 50 frames and after 250, and a step that allocates no label maps."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import memory_growth
from fgvc_deploy.engine import Engine
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.propagation.select import create_propagation
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.writer import VideoWriter
from fgvc_kernels import native

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
# Over 200 frames; what is measured is about 200 bytes.
FLAT_BYTES = 4096
RESIDENT_BYTES = 5 * 2**20
# One step may fill caches and free lists of Python's own; a label array there is 9 MB.
STEP_BYTES = 16_384


def growth(*stream: str) -> memory_growth.Use:
    """What a stream of `memory_growth`, in a process of its own, holds more at its end than at its beginning."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system has no /proc to read memory and open files from")
    command = [sys.executable, "-W", "error", memory_growth.__file__, *stream]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return memory_growth.Use(**json.loads(done.stdout))


@pytest.mark.parametrize("stream", ["points", "point_video", "mask_video"])
def test_memory_is_flat(stream: str) -> None:
    """Issues 2 and 3; the proof over 10 000 frames is `python -m fgvc_benchmarks.soak`."""
    grown = growth(stream)
    assert grown.traced < FLAT_BYTES
    assert grown.resident < RESIDENT_BYTES
    assert grown.files == 0


def test_reading_videos_leaves_nothing_open(tmp_path: Path, moving_clip: Clip) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25.0, (64, 80), "h264") as writer:
        for frame in moving_clip:
            writer.write(frame)
    grown = growth("reading", str(path))
    assert grown.files == 0
    assert grown.traced < FLAT_BYTES
    assert grown.resident < RESIDENT_BYTES


def test_a_leak_would_be_seen() -> None:
    """Of a hundred bytes a frame, and of a file."""
    grown = growth("leaking")
    assert grown.traced > FLAT_BYTES
    assert grown.files == 200


class Given:
    """An encoder that is never asked."""

    name = "given"

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError


@pytest.fixture
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


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
    assert after - before < STEP_BYTES
