"""Softmax weights and the weighted sum of labels, against plain loops and against the reference attention."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import CarriesLabels, Matches, Window
from fgvc_deploy.propagation.native import NativeBackend
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.propagation.weights import carry, propagate, softmax_weights
from fgvc_kernels import native
from fgvc_kernels.reference import AttentionOptions, attend, radius_of_range, window_mask

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]


def test_softmax_of_the_entries() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.5, 0.5, -np.inf]], np.float32)
    found = softmax_weights(scores, 0.07)
    expected = np.exp(scores.astype(np.float64) / 0.07)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), rtol=1e-5, atol=0)
    assert found[1].tolist() == [0.5, 0.5, 0.0]


def test_a_row_without_keys_weighs_nothing() -> None:
    found = softmax_weights(np.full((2, 3), -np.inf, np.float32), 0.07)
    assert (found == 0).all()


def test_extreme_temperatures_stay_finite() -> None:
    scores = np.array([[1.0, -1.0]], np.float32)
    assert softmax_weights(scores, 1e-6).tolist() == [[1.0, 0.0]]
    np.testing.assert_allclose(softmax_weights(scores, 1e6), 0.5, rtol=1e-5)


def random_matches(size: int, frames: int, topk: int) -> tuple[Matches, NDArray[np.float32]]:
    rng = np.random.default_rng(8)
    positions = rng.integers(0, frames * size, (size, topk), dtype=np.int32)
    scores = -np.sort(-rng.random((size, topk), dtype=np.float32), axis=1)
    return Matches(scores, positions), softmax_weights(scores, 0.2)


@pytest.mark.parametrize("points", [1, 2, 5, 64, 1024])
@pytest.mark.parametrize(("frames", "topk"), [(1, 1), (3, 10)])
def test_propagate_is_the_weighted_sum(points: int, frames: int, topk: int) -> None:
    size = 300
    matches, weights = random_matches(size, frames, topk)
    labels = [np.random.default_rng(t).random((size, points), dtype=np.float32) for t in range(frames)]
    found = propagate(matches, weights, labels)
    assert found.shape == (size, points)
    assert found.dtype == np.float32
    everything = np.concatenate(labels).astype(np.float64)
    expected = np.stack([weights[q] @ everything[matches.positions[q]] for q in range(size)])
    # Sums of ten numbers below 1 in float32.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("points", [1, 5, 64, 65])
def test_labels_are_written_where_they_are_wanted(points: int) -> None:
    size = 300
    matches, weights = random_matches(size, 3, 10)
    labels = [np.random.default_rng(t).random((size, points), dtype=np.float32) for t in range(3)]
    ring = np.full((2, size, points), np.nan, np.float32)
    found = carry(matches, labels, 0.2, ring[1])
    assert np.shares_memory(found, ring)
    np.testing.assert_array_equal(ring[1], propagate(matches, weights, labels))
    assert np.isnan(ring[0]).all()


@pytest.mark.parametrize("points", [1, 5, 64, 65])
def test_the_native_backend_carries_the_same_labels(points: int) -> None:
    if not native.available()[0]:
        pytest.skip(native.available()[1])
    size = 300
    matches, _ = random_matches(size, 3, 10)
    matches.scores[7, 4:] = -np.inf
    matches.scores[8] = -np.inf
    labels = [np.random.default_rng(t).random((size, points), dtype=np.float32) for t in range(3)]
    ring = np.full((2, size, points), np.nan, np.float32)
    backend = NativeBackend(threads=2)
    assert isinstance(backend, CarriesLabels)
    assert not isinstance(TiledBackend(), CarriesLabels)
    backend.carry(matches, labels, 0.2, ring[1])
    # Sums of ten numbers below 1 in float32, in another order.
    np.testing.assert_allclose(ring[1], carry(matches, labels, 0.2), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ring[1], backend.carry(matches, labels, 0.2))
    assert (ring[1][8] == 0).all()
    assert np.isnan(ring[0]).all()
    with pytest.raises(ValueError, match="`out` must be 300"):
        backend.carry(matches, labels, 0.2, ring[0, :4])


def test_scratch_memory_is_bounded() -> None:
    """Labels of 6 x 16 MB are neither joined nor copied."""
    matches, weights = random_matches(8192, 6, 10)
    labels = [np.ones((8192, 512), np.float32)] * 6
    tracemalloc.start()
    out = propagate(matches, weights, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < out.nbytes + 8 * 2**20


def test_no_labels_at_all() -> None:
    matches, weights = random_matches(20, 2, 3)
    assert propagate(matches, weights, [np.empty((20, 0), np.float32)] * 2).shape == (20, 0)


def test_labels_that_do_not_fit_are_named() -> None:
    matches, weights = random_matches(20, 2, 3)
    label = np.zeros((20, 4), np.float32)
    with pytest.raises(InputError, match="more key frames than the 1"):
        propagate(matches, weights, [label])
    with pytest.raises(InputError, match=r"each must be \(20, P\)"):
        propagate(matches, weights, [label, label[:, :3]])
    with pytest.raises(InputError, match="more key frames than the 0"):
        propagate(matches, weights, [])
    with pytest.raises(InputError, match=r"labels go into float32 \(20, 4\), not float32 \(20, 3\)"):
        propagate(matches, weights, [label, label], label[:, :3])


def run_time_labels(
    query: NDArray[Any], keys: NDArray[Any], labels: NDArray[Any], window: Window, topk: int
) -> NDArray[np.float32]:
    backend = TiledBackend(threads=2)
    matches = backend.match(backend.prepare(query), [backend.prepare(key) for key in keys], window, topk)
    rows = [np.ascontiguousarray(label.reshape(-1, label.shape[-1])) for label in labels]
    return propagate(matches, softmax_weights(matches.scores, 0.07), rows).reshape(*query.shape[:2], -1)


GOLDEN_CASES = ("circle30", "circle8", "square9", "fewkeys", "dupfirst", "nomask")


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_the_whole_step_against_goldens(case: str, goldens: Goldens, parity: Callable[..., None]) -> None:
    golden = goldens("c_attention")
    meta = json.loads(str(golden[f"eff.{case}.meta"]))
    query, keys, labels = (np.moveaxis(golden[f"eff.{case}.{name}"], 1, -1)[0] for name in "qkv")
    reach = meta["neighbor_range"]
    window = Window(meta["mask_mode"] or "circle", np.inf if reach is None else radius_of_range(reach))
    found = run_time_labels(query, keys, labels, window, meta["topk"])
    expected = np.moveaxis(golden[f"eff.{case}.out"], 1, -1)[0]
    difference = np.abs(found - expected).max()
    parity(group="c", case=f"numpy:eff.{case}", value=difference, budget=2e-6, unit="label")


def test_the_whole_step_against_the_reference() -> None:
    rng = np.random.default_rng(12)
    features = rng.standard_normal((5, 40, 33, 64)).astype(np.float32)
    labels = rng.random((4, 40, 33, 7), dtype=np.float32)
    found = run_time_labels(features[-1], features[:-1], labels, Window("circle", 7.5), 10)
    exact = attend(
        features[-1].astype(np.float64),
        features[:-1].astype(np.float64),
        labels.astype(np.float64),
        window_mask((40, 33), "circle", 7.5),
        AttentionOptions(),
    )
    # Scores are right to 1e-6, and the softmax divides them by 0.07.
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 / 0.07)
