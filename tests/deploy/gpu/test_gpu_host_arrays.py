"""Features and matches of an emulated GPU as host arrays: for benchmarks and checks; tracking never asks for them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import Window
from fgvc_deploy.trackers.points import PointTracker
from gpu_emulator import EmulatedDriver

from .conftest import Engines

Clip = NDArray[np.uint8]


@pytest.mark.parametrize(("feature", "close"), [("fp32", 1e-6), ("fp16", 2.0**-11)])
def test_features_can_be_looked_at(engines: Engines, clip: Clip, feature: str, close: float) -> None:
    """For benchmarks and checks; fp16 rounds each to 11 bits."""
    maps = []
    for engine in engines(feature=feature):
        tracker = PointTracker(engine)
        tracker.open(clip[0])
        maps.append(tracker.encode(clip[0]))
    np.testing.assert_allclose(maps[1].unit, maps[0].unit, atol=close)
    assert maps[0].hw == maps[1].hw


def test_matching_and_looking_leave_nothing_behind(engines: Engines, driver: EmulatedDriver) -> None:
    cpu, gpu = engines()
    maps = [gpu.matcher.prepare(np.random.default_rng(i).normal(size=(9, 13, 80)).astype(np.float32)) for i in (0, 1)]
    window = Window("circle", 4.0)
    # The second time, the step is recorded.
    for _ in range(2):
        found = gpu.matcher.match(maps[0], maps[1:], window, 10)
    alive = driver.alive()
    for _ in range(3):
        found = gpu.matcher.match(maps[0], maps[1:], window, 10)
    assert driver.alive() == alive
    expected = cpu.matcher.match(maps[0], maps[1:], window, 10)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_array_equal(found.positions, expected.positions)


def test_features_of_the_cpu_are_refused(engines: Engines, clip: Clip) -> None:
    cpu, gpu = engines()
    tracker, elsewhere = PointTracker(gpu), PointTracker(cpu)
    for one in (tracker, elsewhere):
        one.open(clip[0])
    features = elsewhere.encode(clip[0])
    tracker.step_features(tracker.encode(clip[0]))
    tracker.add_points([[5.0, 5.0]], frame="last")
    with pytest.raises(ValueError, match="not made by the GPU backend"):
        tracker.step_features(features)
