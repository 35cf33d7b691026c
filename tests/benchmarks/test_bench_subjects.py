"""The subjects: their checks pass on what is right, fail on what is wrong, and their stages cover the step."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fgvc_benchmarks.inputs import feature_frames, grid_points
from fgvc_benchmarks.plain import Grid, PlainTracker
from fgvc_benchmarks.referee import Referee
from fgvc_benchmarks.subjects.dense_tracker import DenseTrackerStep
from fgvc_benchmarks.subjects.propagation import Propagation, geometry_of
from fgvc_benchmarks.subjects.stream import Stream
from fgvc_benchmarks.subjects.table import SUBJECTS, create
from fgvc_benchmarks.subjects.tracker import TRACK_BUDGET, TrackerStep
from fgvc_deploy.errors import BackendError, ParityError
from fgvc_deploy.propagation.base import Matches
from fgvc_deploy.settings import PropagationSettings
from fgvc_kernels.reference import window_mask

GEOMETRY = {"name": "t", "height": 13, "width": 17, "channels": 24, "radius": 3.5, "frames": 3}
KERNEL: dict[str, Any] = {"geometry": GEOMETRY, "points": 2, "backend": "numpy", "options": {}}


def step(bundle: Path, **changes: Any) -> dict[str, Any]:
    base = {"bundle": str(bundle), "size": [64, 80], "points": 4, "settings": {}, "backend": "onnxruntime+numpy"}
    return base | changes


@pytest.fixture
def _torch_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_propagation_step_is_right_and_timed_by_stage() -> None:
    subject = Propagation(KERNEL, 1)
    assert [figure.figure for figure in subject.check()] == ["scores", "labels"]
    assert all(figure.passed for figure in subject.check())
    sample = subject.run()
    assert list(sample.stages) == ["prepare", "match", "carry"]
    assert 0 < sum(sample.stages.values()) <= sample.wall_s
    assert subject.facts["useful_gflop"] == geometry_of(KERNEL).useful_gflop()


@pytest.mark.parametrize("fault", ["score", "position", "label"])
def test_a_wrong_backend_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Propagation(KERNEL, 1)
    right = subject._backend.match

    def wrong(*arguments: Any) -> Matches:
        found = right(*arguments)
        scores, positions = found.scores.copy(), found.positions.copy()
        if fault == "score":
            scores[100, 9] -= 1e-5
        else:
            positions[100, 9] = positions[100, 0]
        return Matches(scores, positions)

    if fault == "label":
        monkeypatch.setattr("fgvc_benchmarks.subjects.propagation.propagate", lambda m, w, labels: labels[0])
        assert [figure.passed for figure in subject.check()] == [True, False]
        return
    monkeypatch.setattr(subject._backend, "match", wrong)
    with pytest.raises(ParityError, match=r"first at row \[100\]"):
        subject.check()


def test_unknown_backends_cannot_run() -> None:
    with pytest.raises(BackendError, match="warp"):
        Propagation(KERNEL | {"backend": "warp"}, 1)


def test_table_names_classes_that_exist(toy_bundle: Path) -> None:
    assert set(SUBJECTS) == {"sgemm", "propagation", "dense_propagation", "tracker", "stream", "dense_tracker"}
    assert isinstance(create("tracker", step(toy_bundle), 1), TrackerStep)
    with pytest.raises(KeyError):
        create("nothing", {}, 1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"points": 40}, {"settings": {"memory": 1}}, {"settings": {"active_tau": 0.0}}, {"size": [45, 67]}],
    ids=str,
)
def test_tracker_step_agrees_with_the_referee(changes: dict[str, Any], toy_bundle: Path) -> None:
    subject = TrackerStep(step(toy_bundle, **changes), 1)
    (figure,) = subject.check()
    assert figure.passed, figure
    sample = subject.run()
    assert list(sample.stages) == ["preprocess", "encode", "prepare", "propagate", "readout"]
    assert 0 < sum(sample.stages.values()) <= sample.wall_s


def test_a_wrong_tracker_is_found(toy_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = TrackerStep(step(toy_bundle), 1)
    right = subject._tracker.step_features

    def wrong(features: Any) -> Any:
        result = right(features)
        return result._replace(xy=result.xy + np.float32(0.01))

    monkeypatch.setattr(subject._tracker, "step_features", wrong)
    assert not subject.check()[0].passed


def test_after_the_check_the_memory_is_full(toy_bundle: Path) -> None:
    subject = TrackerStep(step(toy_bundle, settings={"memory": 3}), 1)
    subject.check()
    assert subject._tracker.frame_index >= 3


@pytest.mark.usefixtures("_torch_threads")
def test_dense_pipeline_agrees_with_the_referee(toy_bundle: Path) -> None:
    subject = DenseTrackerStep(step(toy_bundle), 1)
    (figure,) = subject.check()
    assert figure.passed, figure
    sample = subject.run()
    assert list(sample.stages) == ["preprocess", "encode", "propagate", "readout"]
    assert subject.facts["propagation"] == "dense"


@pytest.mark.parametrize("ahead", [False, True])
def test_a_stream_equals_steps(ahead: bool, toy_bundle: Path) -> None:
    subject = Stream(step(toy_bundle, ahead=ahead), 1)
    assert [(f.figure, f.value <= f.budget) for f in subject.check()] == [
        ("tracks", True),
        ("stream against steps", True),
    ]
    before = threading.active_count()
    assert {"encode", "propagate"} <= set(subject.run().stages)
    assert threading.active_count() == before


def test_plain_tracker_keeps_the_first_and_the_last_frames() -> None:
    """Frame 7 with a memory of 3 is matched to frames 0, 4, 5 and 6, in any order."""
    seen: list[set[int]] = []

    def attend(query: Any, keys: Any, labels: Any) -> Any:
        seen.append({int(key[0, 0, 0]) for key in keys})
        return labels[0]

    grid = Grid((8, 8), (4, 4), 2)
    tracker = PlainTracker(attend, PropagationSettings(memory=3), grid, np.array([[3.0, 3.0]], np.float32))
    tracker.start(np.zeros((4, 4, 1), np.float32))
    for number in range(1, 8):
        tracker.propagate(np.full((4, 4, 1), number, np.float32))
    assert seen == [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 2, 3, 4}, {0, 3, 4, 5}, {0, 4, 5, 6}]


def test_what_the_referee_clears_survives_rounding() -> None:
    """Coarsely quantised features tie often: scores off by 1e-6 move some points, but never a clear one."""
    geometry = geometry_of({"geometry": GEOMETRY | {"height": 24, "width": 24, "channels": 64}})
    settings, grid = PropagationSettings(radius=4.0, memory=2), Grid((48, 48), geometry.hw, 2)
    xy = grid_points(grid.network_hw, 49)
    frames = np.round(feature_frames(geometry) * 2) / np.float32(2)
    rng = np.random.default_rng(0)

    def perturbed(query: Any, keys: Any, labels: Any) -> Any:
        unit = [f.reshape(-1, 64) / np.linalg.norm(f, axis=-1).reshape(-1, 1) for f in (query, *keys)]
        scores = unit[0] @ np.concatenate(unit[1:]).T
        scores += rng.uniform(-1e-6, 1e-6, scores.shape)
        scores[~np.tile(window_mask(geometry.hw, "circle", 4.0), (1, len(keys)))] = -np.inf
        best = np.argsort(-scores, axis=1)[:, :10]
        weights = np.exp(np.take_along_axis(scores, best, axis=1) / 0.07)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("qk,qkp->qp", weights, labels.reshape(-1, labels.shape[-1])[best]).astype(np.float32)

    referee, other = Referee(settings, grid, xy, 1), PlainTracker(perturbed, settings, grid, xy)
    referee.start(frames[0])
    other.start(frames[0])
    moved = cleared = 0
    for frame in frames[1:]:
        expected, clear = referee.judge(referee.propagate(frame))
        difference = np.abs(other.read(other.propagate(frame)) - expected).max(axis=1)
        assert (difference[clear] < TRACK_BUDGET).all()
        moved, cleared = moved + int((difference > TRACK_BUDGET).sum()), cleared + int(clear.sum())
    assert moved > 0
    assert cleared > 10


def test_referee_marks_a_point_whose_pixels_tie() -> None:
    """All features equal: every key ties, so nothing may be judged.  Ordinary features: most points may."""
    geometry = geometry_of({"geometry": GEOMETRY | {"height": 24, "width": 24, "channels": 64}})
    grid = Grid((48, 48), geometry.hw, 2)
    xy = np.array([[11.3, 20.7], [30.2, 25.1], [20.4, 33.3]], np.float32)
    frames = feature_frames(geometry)
    for features, judged in ((np.ones_like(frames), 0), (frames, 3)):
        referee = Referee(PropagationSettings(radius=4.0), grid, xy, 1)
        referee.start(features[0])
        assert int(referee.judge(referee.propagate(features[1])).clear.sum()) == judged
