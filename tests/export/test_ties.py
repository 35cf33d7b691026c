"""Ties between matches: followed where both choices are right, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import Float32Array
from fgvc_deploy.propagation.base import FeatureMap, Matches, Window
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_export.clip import load_clip
from fgvc_export.parity import Setup, grid_points, track_points
from fgvc_export.ties import TIED, Follower, Recorder, scores_at
from fgvc_export.track_parity import Resolved, judge_tracks, track_figures

WINDOW = Window("square", 3)
HW = (7, 9)
CLIP = load_clip(None)


def feature_maps(seed: int, count: int) -> list[FeatureMap]:
    rng = np.random.default_rng(seed)
    return [TiledBackend().prepare(rng.standard_normal((*HW, 16), dtype=np.float32)) for _ in range(count)]


def follow(maps: list[FeatureMap], recorded: Matches, topk: int) -> tuple[Matches, Follower]:
    follower = Follower([recorded])
    return follower.match(maps[0], maps[1:], WINDOW, topk), follower


def test_scores_are_the_cosines_of_the_keys_named() -> None:
    maps = feature_maps(0, 4)
    matches = TiledBackend().match(maps[0], maps[1:], WINDOW, 6)
    rows = np.arange(0, 63, 4)
    found = scores_at(maps[0], maps[1:], rows, matches.positions[rows])
    np.testing.assert_allclose(found, matches.scores[rows], atol=2e-6)


def test_the_same_matches_are_followed_nowhere() -> None:
    maps = feature_maps(1, 3)
    own = TiledBackend().match(maps[0], maps[1:], WINDOW, 5)
    followed, follower = follow(maps, own, 5)
    np.testing.assert_array_equal(followed.positions, own.positions)
    assert (follower.followed, follower.seen) == (0, 63)


@pytest.mark.parametrize(("gap", "follows"), [(0.0, True), (TIED / 4, True), (TIED * 4, False)])
def test_a_recorded_key_is_taken_when_it_ties_with_the_kth_best_and_not_when_it_is_worse(
    gap: float, follows: bool
) -> None:
    maps = feature_maps(2, 3)
    size, row = HW[0] * HW[1], 31
    wide = TiledBackend().match(maps[0], maps[1:], WINDOW, 6)
    kth, other = (np.divmod(int(wide.positions[row, place]), size) for place in (4, 5))
    # Turn the sixth best key of one pixel in its plane with the query until it scores `gap` less than the fifth.
    query = maps[0].unit[row].astype(np.float64)
    key = maps[1 + other[0]].unit[other[1]].astype(np.float64)
    across = key - (key @ query) * query
    wanted = float(maps[1 + kth[0]].unit[kth[1]].astype(np.float64) @ query) - gap
    turned = wanted * query + np.sqrt(1 - wanted**2) * across / np.linalg.norm(across)
    maps[1 + other[0]].unit[other[1]] = turned.astype(np.float32)

    own = TiledBackend().match(maps[0], maps[1:], WINDOW, 5)
    recorded = Matches(own.scores.copy(), own.positions.copy())
    chosen, left = wide.positions[row, 4], wide.positions[row, 5]
    if chosen not in own.positions[row]:
        chosen, left = left, chosen
    recorded.positions[row, own.positions[row] == chosen] = left
    followed, follower = follow(maps, recorded, 5)
    assert follower.followed == int(follows)
    expected = recorded if follows else own
    assert set(followed.positions[row]) == set(expected.positions[row])
    assert (np.diff(followed.scores[row]) <= 0).all()
    np.testing.assert_allclose(
        followed.scores[row], scores_at(maps[0], maps[1:], np.array([row]), followed.positions[[row]])[0], atol=2e-6
    )
    others = np.arange(size) != row
    np.testing.assert_array_equal(followed.positions[others], own.positions[others])


class FlatEncoder:
    """Features that are all alike but for one rounding: every choice of keys is a tie.  `tilt` is an error."""

    name = "flat"

    def __init__(self, seed: int, tilt: float = 0.0) -> None:
        self.rng, self.tilt = np.random.default_rng(seed), tilt

    def encode(self, x: Float32Array) -> Float32Array:
        features = 1 + 1e-7 * self.rng.standard_normal((x.shape[2] // 2, x.shape[3] // 2, 16))
        features[:, :, 0] += self.tilt * np.sin(np.arange(features.shape[1]) * 0.7)
        return features.astype(np.float32)


SETUP = Setup(
    EncoderSettings(arch="flat", stride=2, channels=16), PreprocessSettings(), PropagationSettings(radius=4), "native"
)


def test_ties_are_no_error_of_the_export_but_features_that_are_off_are() -> None:
    xy = grid_points(96, 128)
    recorder = Recorder()
    theirs = track_points(FlatEncoder(0), SETUP, CLIP, xy, recorder)
    plain = track_points(FlatEncoder(1), SETUP, CLIP, xy)
    assert np.abs(plain - theirs).max() > 1
    follower = Follower(recorder.steps)
    # Labels differ by rounding alone, so only ties of the read-out remain: a lattice step of .2 px.
    assert np.abs(track_points(FlatEncoder(1), SETUP, CLIP, xy, follower) - theirs).max() < 0.25
    assert 0 < follower.followed <= follower.seen
    wrong = track_points(FlatEncoder(1, tilt=0.05), SETUP, CLIP, xy, Follower(recorder.steps))
    assert np.abs(wrong - theirs).max() > 1


def test_the_gate_says_how_many_ties_it_resolved_and_what_they_had_cost() -> None:
    theirs, mine = np.zeros((3, 4, 2), np.float32), np.zeros((3, 4, 2), np.float32)
    theirs[-1] = mine[-1] = 5
    mine[1, 2, 0] = 0.84

    def none(seed: int) -> NDArray[np.float32]:
        raise AssertionError("noise was asked for")

    solved = judge_tracks(mine, theirs, none, CLIP, "fp32", lambda: Resolved(theirs, "3 of 90 tied"))
    assert all(figure.passed and figure.value == 0 for figure in solved)
    assert "; 3 of 90 tied, chosen as in the reference (else 0.84 px)" in solved[1].detail
    unsolved = judge_tracks(mine, theirs, lambda seed: theirs, CLIP, "fp32", lambda: Resolved(mine, "0 of 90 tied"))
    assert not unsolved[1].passed
    within = judge_tracks(theirs, theirs, none, CLIP, "fp32", lambda: pytest.fail("ties were asked for"))
    assert "tied" not in within[0].detail


def test_ties_are_looked_for_in_fp32_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fgvc_export.track_parity.Follower", lambda steps: pytest.fail("ties were asked for"))
    figures = track_figures(FlatEncoder(1, tilt=0.05), FlatEncoder(0), SETUP, CLIP, "fp16")
    assert [figure.figure for figure in figures] == ["track_p95", "track_max"]


@pytest.mark.parametrize(("share_lost", "passes"), [(0.25, True), (0.75, False)])
def test_below_fp32_places_that_the_reference_itself_has_lost_are_left_out(share_lost: float, passes: bool) -> None:
    theirs, mine = np.zeros((5, 4, 2), np.float32), np.zeros((5, 4, 2), np.float32)
    lost = np.zeros((5, 4), np.bool_)
    lost[:, : round(4 * share_lost)] = True
    mine[1:, 0] = 50
    figures = judge_tracks(mine, theirs, lambda seed: theirs, CLIP, "fp16", lost=lost)
    assert [figure.passed for figure in figures] == [passes, passes]
    assert ("without 25% of the places" in figures[1].detail and "else 71 px" in figures[1].detail) == passes


def test_a_point_that_only_the_export_loses_is_not_left_out() -> None:
    theirs, mine = np.zeros((5, 4, 2), np.float32), np.zeros((5, 4, 2), np.float32)
    lost = np.zeros((5, 4), np.bool_)
    lost[:, 0] = True
    mine[3, 2] = 50
    _, largest = judge_tracks(mine, theirs, lambda seed: theirs, CLIP, "fp16", lost=lost)
    assert (largest.passed, round(largest.value)) == (False, 71)
