"""One step of the real tracker, frame in, coordinates out, in the steady state; and what its case parameters mean."""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from fgvc_benchmarks.inputs import grid_points, scene
from fgvc_benchmarks.plain import Grid
from fgvc_benchmarks.referee import Referee
from fgvc_benchmarks.subjects.base import Params, at_most
from fgvc_benchmarks.timing import ExactTimer, Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.encoders.select import create as create_encoder
from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import ParityError
from fgvc_deploy.model import Model, load
from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.points import PointTracker

CHECKED_STEPS = 3
# Both sides see the same features, so only float32 rounding of weights and label sums is left.
TRACK_BUDGET = 1e-3
# cpu.md: MNN's Winograd has a minimum of .99999 on real clips; a wrong layer gives .9 or less.
COSINE_BUDGET = 1e-4


class Setup(NamedTuple):
    """A loaded model at one network size; frames already have that size, so source pixels are network pixels."""

    model: Model
    engine: Engine
    grid: Grid
    xy: Float32Array


def set_up(params: Params, threads: int) -> Setup:
    """Parameters: `bundle` (path), `size` [H, W], `points`, `backend`, `settings` (changes to the bundle's)."""
    model = load(params["bundle"], threads=threads)
    bundled = model.bundle.manifest.propagation
    settings = PropagationSettings.model_validate(bundled.model_dump() | params["settings"])
    engine = model.engine(params["backend"], settings)
    hw = (params["size"][0], params["size"][1])
    grid = Grid(hw, engine.feature_size(hw), engine.encoder_settings.stride)
    return Setup(model, engine, grid, grid_points(hw, params["points"]))


def stages_of(timer: ExactTimer) -> dict[str, float]:
    """Seconds by stage; `frame`, which the tracker counts too, is the whole step and no part of it."""
    stages = timer.take()
    stages.pop("frame", None)
    return stages


def describe(setup: Setup) -> dict[str, Any]:
    """Facts of a tracker case for its record."""
    engine, grid = setup.engine, setup.grid
    return {
        "encoder": engine.encoder.name,
        "propagation": engine.matcher.name,
        "isa": getattr(engine.matcher, "isa", ""),
        "network_hw": list(grid.network_hw),
        "feature_hw": list(grid.feature_hw),
        "key_frames": engine.propagation.memory + 1,
        "active_tau": engine.propagation.active_tau,
    }


class TrackerStep:
    """`PointTracker.step` on a synthetic scene; parameters as `set_up` takes them."""

    def __init__(self, params: Params, threads: int) -> None:
        self._setup = setup = set_up(params, threads)
        self._threads = threads
        self._frames = scene(setup.grid.network_hw)
        self._backend = params["backend"]
        self._tracker = self._new_tracker(setup.engine.propagation)
        self._tracker.timer = self._timer = ExactTimer()
        self.facts = describe(setup)

    def check(self) -> list[ParityFigure]:
        """Coordinates of a few frames against the referee on the same features; then fill the memory.

        The referee reads labels.  With the fine stage on, a tracker without it is judged, and the timed one must say
        the same of every point that it did not refine (refined ones: `tests/deploy/test_fine_alignment.py`).
        """
        settings = self._setup.engine.propagation
        plain = settings.model_copy(update={"fine": "off"})
        fine = settings.fine != "off"
        figures = [self._track_figure(self._new_tracker(plain) if fine else self._tracker)]
        if fine:
            figures.append(self._fine_figure(plain))
        encoder = self._setup.engine.encoder
        if encoder.name != "onnxruntime":
            figures.append(encoder_figure(encoder, self._setup, self._threads))
        for _ in range(self._setup.engine.propagation.memory):
            self.run()
        return figures

    def run(self) -> Sample:
        """One frame."""
        frame = next(self._frames)
        self._timer.take()
        with stopwatch() as sample:
            self._tracker.step(frame)
        sample.stages = stages_of(self._timer)
        return sample

    def _new_tracker(self, settings: PropagationSettings) -> PointTracker:
        setup = self._setup
        tracker = setup.model.point_tracker(size=setup.grid.network_hw, backend=self._backend, propagation=settings)
        tracker.add_points(setup.xy)
        return tracker

    def _fine_figure(self, settings: PropagationSettings) -> ParityFigure:
        """How far points that the fine stage left alone are from those of a tracker without it."""
        again = self._new_tracker(settings)
        worst, left_alone = 0.0, 0
        for frame in islice(scene(self._setup.grid.network_hw), CHECKED_STEPS + 1):
            expected, found = again.step(frame), self._tracker.step(frame)
            apart = np.abs(found.xy - expected.xy)[~found.refined]
            worst, left_alone = max(worst, float(apart.max(initial=0.0))), left_alone + len(apart)
        return at_most("points not refined", worst, 0.0, "px", f"{left_alone} positions the fine stage left alone")

    def _track_figure(self, tracker: PointTracker) -> ParityFigure:
        setup = self._setup
        referee = Referee(setup.engine.propagation, setup.grid, setup.xy, self._threads)
        worst, compared, left_out = 0.0, 0, 0
        for number in range(CHECKED_STEPS + 1):
            frame = next(self._frames)
            tracker.open(frame)
            features = tracker.encode(frame)
            found = tracker.step_features(features).xy
            unit = features.unit.reshape(*setup.grid.feature_hw, -1)
            if number == 0:
                referee.start(unit)
                continue
            expected, clear = referee.judge(referee.propagate(unit))
            worst = max(worst, float(np.abs(found - expected)[clear].max(initial=0.0)))
            compared, left_out = compared + int(clear.sum()), left_out + int((~clear).sum())
        if not compared:
            raise ParityError("every read-out of the checked frames is tied, so nothing could be compared")
        detail = f"{compared} positions against the referee, {left_out} ties left out"
        return at_most("tracks", worst, TRACK_BUDGET, "px", detail)


def encoder_figure(encoder: EncoderBackend, setup: Setup, threads: int) -> ParityFigure:
    """Largest 1 - cosine of a pixel's features from those of ONNX Runtime in float32."""
    frame = next(scene(setup.grid.network_hw))
    image = Preprocessor(setup.engine.preprocess_settings)(frame, setup.grid.network_hw)
    reference = create_encoder(setup.model.bundle, "onnxruntime", threads=threads)
    found, expected = (backend.encode(image).astype(np.float64) for backend in (encoder, reference))
    norms = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    cosine = (found * expected).sum(axis=-1) / np.maximum(norms, 1e-12)
    return at_most(
        "1 - feature cosine", float(1 - cosine.min()), COSINE_BUDGET, "", "worst pixel, against ONNX Runtime"
    )
