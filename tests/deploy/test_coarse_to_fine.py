"""Coarse-to-fine matching against its plain reference, tie by tie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import FeatureMap, Window
from fgvc_deploy.propagation.coarse_to_fine import CoarseToFineBackend
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_kernels.reference import check_scores, pooled_candidates
from fgvc_kernels.reference.pooled_search import coarse_scores, fine_candidates

UNUSED = Window("circle", 15.0)


def random_frames(hw: tuple[int, int], frames: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((frames, *hw, 6)).astype(np.float32)


def check(backend: CoarseToFineBackend, features: NDArray[Any], topk: int) -> NDArray[np.float32]:
    """Coarse choices must be best within rounding; given those choices, fine matches must be the best ones."""
    query, *keys = maps = [backend.prepare(frame) for frame in features]
    hw = query.hw
    units = np.stack([frame.unit for frame in maps]).astype(np.float64).reshape(len(maps), *hw, -1)
    chosen = backend.coarse_matches(query, keys)
    scores = coarse_scores(units[0], units[1:], backend.scale, backend.coarse_radius)
    taken = np.take_along_axis(scores, chosen[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(taken, scores.max(axis=2), rtol=0, atol=1e-6)
    found = backend.match(query, keys, UNUSED, topk)
    affinity = units[0].reshape(-1, units.shape[-1]) @ units[1:].reshape(-1, units.shape[-1]).T
    allowed = fine_candidates(hw, backend.scale, backend.fine_radius, chosen)
    assert allowed.any(axis=1).all()
    check_scores(found.scores, found.positions, affinity, allowed)
    return found.scores


@pytest.mark.parametrize("hw", [(16, 20), (13, 18), (1, 11), (11, 1), (3, 2), (1, 1)])
@pytest.mark.parametrize(
    ("scale", "coarse_radius", "fine_radius"), [(4, 2.5, 1), (2, 8.0, 3), (5, 1.0, 2), (3, 99, 16)]
)
@pytest.mark.parametrize("topk", [1, 10])
def test_equals_its_reference(
    hw: tuple[int, int], scale: int, coarse_radius: float, fine_radius: int, topk: int
) -> None:
    check(CoarseToFineBackend(scale, coarse_radius, fine_radius, threads=2), random_frames(hw, 4), topk)


def test_ties_everywhere() -> None:
    scores = check(CoarseToFineBackend(4, 3.0, 2, threads=1), np.full((3, 14, 15, 4), 2.0, np.float32), 10)
    np.testing.assert_allclose(scores, 1, rtol=0, atol=1e-6)


def test_zero_features() -> None:
    features = random_frames((12, 12), 3)
    features[:, 3:9] = 0
    assert np.isfinite(check(CoarseToFineBackend(4, 3.0, 2, threads=1), features, 10)).all()


def test_several_jobs_and_threads_agree() -> None:
    features = np.random.default_rng(1).standard_normal((3, 96, 90, 40)).astype(np.float32)
    results = []
    for threads in (1, 3):
        backend = CoarseToFineBackend(4, 4.0, 4, threads=threads)
        query, *keys = (backend.prepare(frame) for frame in features)
        results.append(backend.match(query, keys, UNUSED, 10))
    np.testing.assert_array_equal(results[0].scores, results[1].scores)
    np.testing.assert_array_equal(results[0].positions, results[1].positions)


def test_without_coarse_ties_the_candidates_are_the_references() -> None:
    features = random_frames((20, 23), 3, seed=5)
    backend = CoarseToFineBackend(4, 3.5, 2, threads=1)
    query, *keys = (backend.prepare(frame) for frame in features)
    units = np.stack([frame.unit for frame in (query, *keys)]).astype(np.float64).reshape(3, 20, 23, -1)
    ordered = np.sort(coarse_scores(units[0], units[1:], 4, 3.5), axis=2)
    assert (ordered[:, :, -1] - ordered[:, :, -2]).min() > 1e-5, "this scene was chosen to have no coarse ties"
    found = backend.match(query, keys, UNUSED, 10)
    allowed = pooled_candidates(units[0], units[1:], 4, 3.5, 2)
    check_scores(found.scores, found.positions, units[0].reshape(460, -1) @ units[1:].reshape(920, -1).T, allowed)


def test_reaching_everything_it_is_exact() -> None:
    """With a fine window larger than the map, the coarse step no longer matters."""
    features = random_frames((14, 13), 3)
    coarse, exact = CoarseToFineBackend(2, 2.0, 30, threads=1), TiledBackend(threads=1)

    def scores(backend: CoarseToFineBackend | TiledBackend) -> NDArray[np.float32]:
        query, *keys = (backend.prepare(frame) for frame in features)
        return backend.match(query, keys, Window("square", 99.0), 10).scores

    np.testing.assert_allclose(scores(coarse), scores(exact), rtol=0, atol=1e-6)


def test_it_follows_a_motion_beyond_the_fine_window() -> None:
    rng = np.random.default_rng(9)
    canvas = rng.standard_normal((48, 48, 16)).astype(np.float32)
    # Content moves by two cells down and one left: more than the fine radius, less than the coarse reach.
    key, moved = canvas[4:36, 4:36], canvas[12:44, 0:32]
    backend = CoarseToFineBackend(4, 6.0, 2, threads=1)
    found = backend.match(backend.prepare(moved), [backend.prepare(key)], UNUSED, 1)
    inside = found.scores.reshape(32, 32)[:24, 4:]
    y, x = np.divmod(found.positions.reshape(32, 32)[:24, 4:], 32)
    np.testing.assert_allclose(inside, 1, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(y - np.arange(24)[:, None], 8)
    np.testing.assert_array_equal(x - np.arange(4, 32)[None, :], -4)


def test_frames_of_another_backend_are_refused() -> None:
    backend = CoarseToFineBackend(4, 3.0, 2)
    foreign = TiledBackend().prepare(random_frames((8, 8), 1)[0])
    with pytest.raises(InputError, match="not prepared by this coarse-to-fine backend"):
        backend.match(foreign, [foreign], UNUSED, 3)
    finer = FeatureMap(foreign.hw, foreign.unit, TiledBackend().prepare(random_frames((4, 4), 1)[0]))
    with pytest.raises(InputError, match="not prepared by this coarse-to-fine backend"):
        backend.match(finer, [finer], UNUSED, 3)


@pytest.mark.parametrize("settings", [(1, 3.0, 2), (4, 0.0, 2), (4, 3.0, 0)])
def test_impossible_settings_are_named(settings: tuple[int, float, int]) -> None:
    with pytest.raises(InputError, match="cannot work"):
        CoarseToFineBackend(*settings)
