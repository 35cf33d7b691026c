"""The calibration of visibility: fits with known answers, what is stored, what the report says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import fgvc_deploy
from fgvc_benchmarks.accuracy import calibrate
from fgvc_benchmarks.accuracy.base import EvalOptions
from fgvc_benchmarks.accuracy.evaluation import Places, evaluate
from fgvc_benchmarks.accuracy.tasks.synthetic import SyntheticClip
from fgvc_benchmarks.accuracy.tasks.table import find_task
from fgvc_benchmarks.accuracy.visibility_fit import (
    Calibrated,
    Observed,
    calibrate_round_trip,
    fit_logistic,
    round_trip_sure,
)
from fgvc_benchmarks.accuracy.visibility_fit import calibrate as fit_streamed
from fgvc_benchmarks.accuracy.visibility_page import table
from fgvc_benchmarks.metrics.ranking import log_loss, roc_auc
from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import RoundTripSettings, VisibilitySettings
from fgvc_deploy.trackers.visibility import Evidence, confidence

HOME = RoundTripSettings(bias=1, peak=2, similarity=3, log_mass=4, log_gap=5, log_home=6, threshold=0.7)


def test_logistic_fit_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(20000, 3)) * np.array((0.2, 0.3, 1.0)) + np.array((0.7, 0.6, -1.0))
    weights, bias = np.array((6.0, 2.0, 1.5)), -3.0
    answers = rng.random(20000) < 1 / (1 + np.exp(-(columns @ weights + bias)))
    found_bias, found = fit_logistic(columns, answers)
    np.testing.assert_allclose(found, weights, rtol=0.1)
    assert found_bias == pytest.approx(bias, rel=0.15)


def observed(seed: int) -> Observed:
    """A scene whose hidden points have little label mass, but labels as high as others; half go back."""
    rng = np.random.default_rng(seed)
    occluded = rng.random((40, 12)) < 0.3
    occluded[:, 0] = False
    tracks = np.zeros((40, 12, 2))
    mass = np.where(occluded[:, 1:], 0.2, 1.0) * rng.uniform(0.7, 1.3, (40, 11))
    noise = rng.uniform(0.3, 0.9, (40, 11))
    evidence = Evidence(*(part.astype(np.float32) for part in (noise, noise, mass)))
    clip = SyntheticClip("s", np.zeros((12, 4, 4, 3), np.uint8), np.zeros((40, 3)), tracks, occluded)
    gap = np.where(occluded, 9.0, 0.5) * rng.uniform(0.7, 1.3, (40, 12))
    gap[20:] = np.nan
    return Observed(clip, tracks.astype(np.float32), evidence, ~occluded[:, 1:], gap.astype(np.float32))


def blind(scene: Observed) -> Observed:
    """The same scene, whose mass says nothing any more."""
    return scene._replace(evidence=scene.evidence._replace(mass=np.ones_like(scene.evidence.mass)))


def test_calibration_finds_what_tells_hidden_points() -> None:
    settings, threshold = fit_streamed([observed(seed) for seed in range(4)])
    assert settings.log_mass > 3 * max(abs(settings.peak), abs(settings.similarity))
    held_out = observed(9)
    right = (confidence(held_out.evidence, settings) >= threshold) == held_out.seen
    assert right.mean() > 0.99


def test_the_way_home_tells_what_streaming_cannot() -> None:
    scenes = [blind(observed(seed)) for seed in range(4)]
    settings = calibrate_round_trip(scenes)
    assert settings.log_gap < -1
    assert abs(settings.log_home) < 0.3, "what lies on the query frame says nothing in these scenes"
    held_out = blind(observed(9))
    right = (round_trip_sure(held_out, settings) >= settings.threshold) == held_out.seen
    assert right[held_out.followed_back].mean() > 0.99
    assert held_out.followed_back.mean() == 0.5


def test_report_has_a_row_for_every_verdict(toy_bundle: Path) -> None:
    scenes = [observed(seed) for seed in range(3)]
    streamed = fit_streamed(scenes)
    home = calibrate_round_trip(scenes)
    report = calibrate.held_out_report([observed(8)], fgvc_deploy.load(toy_bundle), streamed, home)
    known, told = report.rows["known from the scene"], report.rows["calibrated, with `--round-trip`"]
    assert (known.average_jaccard, known.occlusion_accuracy, known.auc_visible) == (1, 1, None)
    assert report.rows["all visible"].occlusion_accuracy < 0.8
    assert told.occlusion_accuracy > 0.99
    assert told.auc_visible is not None
    assert told.auc_visible > 0.99
    assert "| known from the scene | 1.000 | 1.000 |  |  |  |" in table(report)


def test_ranking_figures() -> None:
    scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True])
    assert roc_auc(scores, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(roc_auc(scores, np.ones(4, bool)))
    assert log_loss(scores, positive) == pytest.approx(-np.log([0.9, 0.4, 0.6, 0.8]).mean())


def test_calibration_is_stored_in_a_bundle_that_still_opens(toy_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(toy_bundle, bundle)
    streamed = Calibrated(VisibilitySettings(bias=1, peak=2, similarity=3, log_mass=4), 0.62)
    calibrate.store(bundle, streamed, HOME)
    stored = fgvc_deploy.load(bundle).bundle.manifest.propagation
    assert (stored.visibility, stored.visible_threshold, stored.round_trip) == (*streamed, HOME)
    with pytest.raises(InputError, match="no bundle folder"):
        calibrate.store(tmp_path / "bundle.zip", streamed, HOME)


@pytest.mark.parametrize(("dataset", "compat"), [("davis", "corrected"), ("synthetic", "reference")])
def test_a_round_trip_is_refused_where_no_metric_counts_it(
    dataset: str, compat: str, toy_bundle: Path, tmp_path: Path
) -> None:
    options = EvalOptions.model_validate({"compat": compat, "round_trip": True})
    with pytest.raises(InputError, match="--round-trip changes nothing here"):
        evaluate(
            find_task(dataset),
            fgvc_deploy.load(toy_bundle),
            options,
            Places(tmp_path),
            say=print,
            progress=lambda *_: pytest.fail("begun"),
        )
