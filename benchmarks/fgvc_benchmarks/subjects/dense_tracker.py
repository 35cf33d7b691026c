"""One frame of the reference pipeline: the runtime's preprocessing, an encoder, dense propagation, full read-out.

The encoder is ONNX Runtime's, faster than the official eager one, so that speed-ups are not flattered.
"""

from __future__ import annotations

import numpy as np

from fgvc_benchmarks.inputs import scene
from fgvc_benchmarks.plain import PlainTracker
from fgvc_benchmarks.referee import Referee
from fgvc_benchmarks.subjects.base import Params, at_most
from fgvc_benchmarks.subjects.tracker import TRACK_BUDGET, describe, set_up
from fgvc_benchmarks.timing import ExactTimer, Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.errors import ParityError
from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_deploy.propagation.base import Float32Array, Window


class DenseTrackerStep:
    """Parameters as for `TrackerStep`; `backend` is ignored.

    The memory is filled with frames whose labels are those of the first frame: propagating them densely would take
    minutes and would not change the time of a frame.
    """

    def __init__(self, params: Params, threads: int) -> None:
        from fgvc_benchmarks.dense import DenseAttention, dense_mask, use_threads

        use_threads(threads)
        self._setup = setup = set_up({**params, "backend": "onnxruntime+numpy"}, threads)
        self._threads, self._timer = threads, ExactTimer()
        self._preprocess = Preprocessor(setup.engine.preprocess_settings)
        settings = setup.engine.propagation
        mask = dense_mask(setup.grid.feature_hw, Window(settings.window, settings.radius))
        attend = DenseAttention(mask, settings.topk, settings.temperature)
        self._frames = scene(setup.grid.network_hw)
        self._tracker = PlainTracker(lambda *parts: attend(*parts).labels, settings, setup.grid, setup.xy)
        self._fill(self._tracker, settings.memory)
        self.facts = describe(setup) | {"propagation": "dense"}

    def check(self) -> list[ParityFigure]:
        """Coordinates of one frame against the NumPy backend's, from the same memory."""
        setup = self._setup
        settings = setup.engine.propagation
        referee = Referee(settings, setup.grid, setup.xy, self._threads)
        frames, self._frames = self._frames, scene(setup.grid.network_hw)
        self._fill(referee, settings.memory)
        self._frames = frames
        features = self._features()
        found = self._tracker.read(self._tracker.propagate(features))
        expected, clear = referee.judge(referee.propagate(features))
        if not clear.any():
            raise ParityError("every read-out of the checked frame is tied, so nothing could be compared")
        worst = float(np.abs(found - expected)[clear].max())
        return [at_most("tracks", worst, TRACK_BUDGET, "px", f"{int(clear.sum())} positions, one frame")]

    def run(self) -> Sample:
        """One frame."""
        timer = self._timer
        timer.take()
        with stopwatch() as sample:
            features = self._features()
            with timer.stage("propagate"):
                labels = self._tracker.propagate(features)
            with timer.stage("readout"):
                self._tracker.read(labels)
        sample.stages = timer.take()
        return sample

    def _fill(self, tracker: PlainTracker, memory: int) -> None:
        tracker.start(self._features())
        for _ in range(memory):
            tracker.fill(self._features())

    def _features(self) -> Float32Array:
        frame = next(self._frames)
        timer = self._timer
        with timer.stage("preprocess"):
            image = self._preprocess(frame, self._setup.grid.network_hw)
        with timer.stage("encode"):
            return self._setup.engine.encoder.encode(image)
