"""Frames of a stream that has them waiting, as whole videos do: with `ahead`, the next one is encoded meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.inputs import scene
from fgvc_benchmarks.subjects.base import Params, at_most
from fgvc_benchmarks.subjects.tracker import TrackerStep, describe, set_up, stages_of
from fgvc_benchmarks.timing import ExactTimer, Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.overlap import encoded, finish
from fgvc_deploy.trackers.points import PointTracker

FRAMES = 24
COMPARED = 4
TIMED = 8


class Stream:
    """Parameters as for `TrackerStep`, and `ahead`: whether to encode one frame ahead.

    A run is a short video on a tracker whose memory is full: one frame outside of the stopwatch, during which the
    next one is being encoded, then `TIMED` frames; the sample is their mean.  Nothing is left running afterwards.
    Stages overlap, so they may add up to more than the whole.
    """

    def __init__(self, params: Params, threads: int) -> None:
        self._params, self._threads = params, threads
        self._setup = setup = set_up(params, threads)
        self._tracker = self._new_tracker()
        self._tracker.timer = self._timer = ExactTimer()
        # There and back again, so that the scene never jumps; made before, because making a frame takes time too.
        frames = list(islice(scene(setup.grid.network_hw), FRAMES))
        self._frames = cycle(frames + frames[-2:0:-1])
        self.facts = describe(setup) | {"ahead": params["ahead"], "frames": TIMED}

    def check(self) -> list[ParityFigure]:
        """A tracker's own check, then equality with a tracker stepping frame by frame; then fill the memory."""
        figures = TrackerStep(self._params, self._threads).check()
        stepping = self._new_tracker()
        frames = scene(self._setup.grid.network_hw)
        worst = max(float(np.abs(xy - stepping.step(next(frames)).xy).max()) for xy in self._results(COMPARED))
        for _ in self._results(self._setup.engine.propagation.memory):
            pass
        return [*figures, at_most("stream against steps", worst, 0.0, "px", f"{COMPARED} frames")]

    def run(self) -> Sample:
        """One short video."""
        results = self._results(1 + TIMED)
        next(results)
        self._timer.take()
        with stopwatch() as sample:
            for _ in results:
                pass
        stages = {name: seconds / TIMED for name, seconds in stages_of(self._timer).items()}
        return Sample(sample.wall_s / TIMED, sample.cpu_s / TIMED, stages)

    def _results(self, count: int) -> Iterator[NDArray[np.float32]]:
        """Coordinates on the next `count` frames, as a video of this length gives them."""
        items = encoded(islice(self._frames, count), self._tracker, ahead=self._params["ahead"])
        return (finish(item, self._tracker).xy for item in items)

    def _new_tracker(self) -> PointTracker:
        setup = self._setup
        tracker = setup.model.point_tracker(
            size=setup.grid.network_hw, backend=self._params["backend"], propagation=setup.engine.propagation
        )
        tracker.add_points(setup.xy)
        return tracker
