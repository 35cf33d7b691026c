"""The gate: figures are what they say, a wrong encoder is caught, and rounding noise is told from error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import ParityError
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_export.budgets import BUDGETS, enforce, judge
from fgvc_export.clip import load_clip
from fgvc_export.parity import (
    Setup,
    feature_figures,
    grid_points,
    track_points,
    worst_cosine,
)
from fgvc_export.track_parity import judge_tracks, track_figures

Float32Array = NDArray[np.float32]


class PatchEncoder:
    """A small encoder without weights: each feature is the 5x5 patch around its pixel, at stride 2, mean removed.

    `shift` moves the features by so many cells, `noise` adds that much relative noise: ways an export can be wrong.
    """

    name = "patch"

    def __init__(self, shift: int = 0, noise: float = 0.0, flat: bool = False) -> None:
        self.shift, self.noise, self.flat = shift, noise, flat
        self.rng = np.random.default_rng(5)

    def encode(self, x: Float32Array) -> Float32Array:
        padded = np.pad(x[0], ((0, 0), (2, 2), (2, 2)), mode="edge")
        patches = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))[:, ::2, ::2]
        features = patches.transpose(1, 2, 0, 3, 4).reshape(*patches.shape[1:3], -1)
        features = features - features.mean(axis=2, keepdims=True)
        if self.flat:
            features = np.ones_like(features)
        features = np.roll(features, self.shift, axis=1)
        return (features * (1 + self.noise * self.rng.uniform(-1, 1, features.shape))).astype(np.float32)


SETUP = Setup(
    EncoderSettings(arch="patch", stride=2, channels=75), PreprocessSettings(), PropagationSettings(), "native"
)
CLIP = load_clip(None)


def test_worst_cosine_is_of_the_worst_pixel() -> None:
    a = np.random.default_rng(0).standard_normal((3, 4, 8))
    assert worst_cosine(a, 3 * a) == pytest.approx(1)
    b = a.copy()
    b[2, 1] = -a[2, 1]
    assert worst_cosine(a, b) == pytest.approx(-1)
    b[2, 1] = 0
    assert worst_cosine(a, b) == 0
    a[2, 1] = 0
    assert worst_cosine(a, b) == pytest.approx(1)
    b[0, 0, 0] = np.nan
    assert np.isnan(worst_cosine(a, b))


@pytest.mark.parametrize("name", list(BUDGETS))
def test_a_figure_passes_up_to_its_budget_and_nan_never(name: str) -> None:
    row = BUDGETS[name]
    precision = next(iter(row.value))
    budget = row.value[precision]
    worse = budget * (1 - 1e-6) if row.limit == "at_least" else budget * (1 + 1e-6)
    assert judge(name, precision, budget, "").passed
    assert not judge(name, precision, worse, "").passed
    assert not judge(name, precision, float("nan"), "").passed
    assert not judge(name, precision, float("nan"), "", noise=9.0).passed
    assert row.reason


def test_noise_raises_a_budget_only_above_it_and_says_so() -> None:
    assert judge("track_p95", "fp32", 0.001, "clip", noise=0.004).budget == 0.01
    raised = judge("track_p95", "fp32", 0.5, "clip", noise=0.3)
    assert raised.passed
    assert raised.budget == 0.6
    assert raised.detail == "clip; budget widened from 0.01, rounding noise alone gives 0.3"
    assert judge("track_p95", "fp32", 0.5, "clip", noise=float("nan")).budget == 0.01


def test_the_error_names_every_figure_and_its_budget() -> None:
    figures = [
        judge("feature_cosine_min", "fp32", 0.5, ""),
        judge("track_p95", "fp32", 0.001, ""),
        judge("track_max", "fp32", 3.0, ""),
    ]
    with pytest.raises(ParityError) as caught:
        enforce("The onnx export", figures)
    assert str(caught.value) == (
        "The onnx export differs too much from the PyTorch encoder: feature_cosine_min is 0.5 where at least 0.99999 "
        "is allowed; track_max is 3 px where at most 0.25 is allowed; no bundle was written."
    )
    enforce("The onnx export", [figures[1]])


@pytest.mark.parametrize(
    ("wrong", "passes"),
    [
        (PatchEncoder(), True),
        (PatchEncoder(noise=1e-6), True),
        (PatchEncoder(noise=1e-3), False),
        (PatchEncoder(shift=1), False),
        (PatchEncoder(flat=True), False),
    ],
    ids=["same", "rounding", "coarse", "shifted", "flat"],
)
def test_features_of_a_wrong_encoder_are_caught(wrong: PatchEncoder, passes: bool) -> None:
    figures = feature_figures(wrong, PatchEncoder(), SETUP, CLIP, "fp32")
    assert [figure.figure for figure in figures] == ["feature_cosine_min", "feature_error_max"]
    assert all(figure.passed for figure in figures) == passes


@pytest.mark.parametrize(
    ("wrong", "passes"),
    [(PatchEncoder(noise=1e-6), True), (PatchEncoder(noise=0.5), False)],
    ids=["rounding", "wrong"],
)
def test_tracks_of_a_wrong_encoder_are_caught(wrong: PatchEncoder, passes: bool) -> None:
    figures = track_figures(wrong, PatchEncoder(), SETUP, CLIP, "fp32")
    assert [figure.figure for figure in figures] == ["track_p95", "track_max"]
    assert all(figure.passed for figure in figures) == passes
    assert "synthetic clip, 12 frames of 128x96, 64 points, moved " in figures[0].detail


def test_tied_matches_raise_the_budget_instead_of_blaming_the_export() -> None:
    """All features equal: every match is a tie, and rounding alone moves the points."""
    figures = track_figures(PatchEncoder(flat=True, noise=3e-6), PatchEncoder(flat=True), SETUP, CLIP, "fp32")
    assert all("rounding noise alone gives" in figure.detail for figure in figures)
    assert all(figure.passed for figure in figures)


def test_a_tie_that_flips_in_few_draws_of_noise_is_found() -> None:
    theirs = np.zeros((3, 4, 2), np.float32)
    theirs[-1] = 5
    flipped = theirs.copy()
    flipped[1, 2, 0] += 0.4
    asked = []

    def noisy(seed: int) -> NDArray[np.float32]:
        asked.append(seed)
        return flipped if seed == 5 else theirs

    figures = judge_tracks(flipped, theirs, noisy, CLIP, "fp32")
    assert all(figure.passed for figure in figures)
    assert asked == list(range(6))
    assert not all(figure.passed for figure in judge_tracks(flipped, theirs, lambda seed: theirs, CLIP, "fp32"))


def test_the_tracker_follows_the_synthetic_motion() -> None:
    """A background point, from the clip's own formula: the figure is measured on tracks that really follow."""
    xy = np.array([[100.0, 20.0], [30.0, 80.0]], np.float32)
    tracks = track_points(PatchEncoder(), SETUP, CLIP, xy)
    turn = 0.01 * np.arange(12)[:, None]
    # Texture position u = R(turn) x + t * (1.7, -0.9) stays; solve for x at every t.
    u = xy[None] - np.arange(12)[:, None, None] * np.array([1.7, -0.9])
    expected_x = np.cos(turn) * u[..., 0] + np.sin(turn) * u[..., 1]
    expected_y = -np.sin(turn) * u[..., 0] + np.cos(turn) * u[..., 1]
    inside = (expected_x > 4) & (expected_x < 123) & (expected_y > 4) & (expected_y < 91)
    error = np.hypot(tracks[..., 0] - expected_x, tracks[..., 1] - expected_y)
    assert inside.sum() > 12
    assert np.median(error[inside]) < 1.5
    assert np.hypot(*(tracks[-1] - tracks[0]).T).max() > 8


def test_grid_points_lie_inside_and_evenly() -> None:
    xy = grid_points(96, 128)
    assert xy.shape == (64, 2)
    assert xy[0].tolist() == [7.5, 5.5]
    assert xy[-1].tolist() == [119.5, 89.5]


def test_noise_lowers_a_budget_of_what_should_be_large() -> None:
    assert judge("match_recall", "fp16", 0.979, "").passed is False
    lowered = judge("match_recall", "fp16", 0.97, "clip", noise=0.02)
    assert lowered.passed
    assert lowered.budget == 0.96
    assert lowered.detail == "clip; budget widened from 0.98, rounding noise alone gives 0.02"
