"""Points that are added before a frame has been seen, and wait for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError
from fgvc_deploy.trackers.points import PointStep, PointTracker

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]


def test_no_frame_has_been_seen_before_the_first_step_ends(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    tracker.open(moving_clip[0])
    with pytest.raises(InputError, match="no last frame"):
        tracker.add_points([[30, 20]], frame="last")
    with pytest.raises(InputError, match="holds no pixels"):
        PointTracker(quick_engine()).step(moving_clip[0, :0])


def test_points_added_one_by_one_cost_what_they_cost_together(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    one, all_ = PointTracker(quick_engine()), PointTracker(quick_engine())
    for xy in ([30, 20], [22, 33], [41, 40]):
        one.add_points([xy])
    all_.add_points([[30, 20], [22, 33], [41, 40]])
    for frame in moving_clip[:3]:
        np.testing.assert_array_equal(one.step(frame).xy, all_.step(frame).xy)
    assert len(one._propagator.groups) == 1


def test_a_bad_waiting_point_takes_only_its_own_batch_along(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    tracker.add_points([[30, 20]])
    tracker.add_points([[22, 33], [300, 20]])
    with pytest.raises(InputError, match=r"point 1 .*outside"):
        tracker.step(moving_clip[0])
    assert tracker.step(moving_clip[0]).ids.tolist() == [0]


def test_a_bad_waiting_point_does_not_stop_the_tracker(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    tracker.add_points([[300, 20]])
    with pytest.raises(InputError, match="outside"):
        tracker.step(moving_clip[0])
    tracker.add_points([[30, 20]])
    assert _xy(tracker.step(moving_clip[0])) == [[30, 20]]


def _xy(step: PointStep) -> list[list[float]]:
    return [[round(x, 3), round(y, 3)] for x, y in step.xy.tolist()]
