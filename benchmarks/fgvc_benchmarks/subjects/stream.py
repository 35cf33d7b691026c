"""Frames of a stream that has them waiting, as whole videos do: with `ahead`, the next one is encoded meanwhile."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np

from fgvc_benchmarks.inputs import scene
from fgvc_benchmarks.subjects.base import Params, at_most
from fgvc_benchmarks.subjects.tracker import TrackerStep, set_up, stages_of
from fgvc_benchmarks.timing import ExactTimer, Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.overlap import encoded, finish

FRAMES = 24
COMPARED = 4


class Stream:
    """Parameters as for `TrackerStep`, and `ahead`: whether to encode one frame ahead.

    The time of a run is that from one result to the next; stages overlap, so they may add up to more.
    """

    def __init__(self, params: Params, threads: int) -> None:
        self._params, self._threads = params, threads
        self._setup = setup = set_up(params, threads)
        self._tracker = setup.model.point_tracker(
            size=setup.grid.network_hw, backend=params["backend"], propagation=setup.engine.propagation
        )
        self._tracker.timer = self._timer = ExactTimer()
        self._tracker.add_points(setup.xy)
        # There and back again, so that the scene never jumps; made before, because making a frame takes time too.
        frames = list(islice(scene(setup.grid.network_hw), FRAMES))
        self._items = encoded(cycle(frames + frames[-2:0:-1]), self._tracker, ahead=params["ahead"])
        self.facts = TrackerStep(params, threads).facts | {"ahead": params["ahead"]}

    def check(self) -> list[ParityFigure]:
        """A tracker's own check, then equality with that tracker stepping frame by frame; then fill the memory."""
        figures = TrackerStep(self._params, self._threads).check()
        setup = self._setup
        plain = setup.model.point_tracker(
            size=setup.grid.network_hw, backend=self._params["backend"], propagation=setup.engine.propagation
        )
        plain.add_points(setup.xy)
        frames = islice(scene(setup.grid.network_hw), COMPARED)
        worst = max(float(np.abs(self._next() - plain.step(frame).xy).max()) for frame in frames)
        for _ in range(setup.engine.propagation.memory):
            self._next()
        return [*figures, at_most("stream against steps", worst, 0.0, "px", f"{COMPARED} frames")]

    def run(self) -> Sample:
        """One frame."""
        self._timer.take()
        with stopwatch() as sample:
            self._next()
        sample.stages = stages_of(self._timer)
        return sample

    def _next(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return finish(next(self._items), self._tracker).xy
