"""Native label propagation against a NumPy loop-free restatement."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels import native

AVAILABLE, REASON = native.available()
if not AVAILABLE and os.environ.get("FGVC_REQUIRE_NATIVE") == "1":
    raise RuntimeError(REASON)
pytestmark = pytest.mark.skipif(not AVAILABLE, reason=REASON)
ISAS = native.isas() if AVAILABLE else ()
F32 = NDArray[np.float32]


def random_matches(rng: np.random.Generator, pixels: int, slots: int, topk: int) -> tuple[F32, NDArray[np.int32]]:
    """Scores best first; every fifth pixel has half a list, every eleventh none."""
    scores = -np.sort(-rng.random((pixels, topk)).astype(np.float32), axis=1)
    positions = rng.integers(0, pixels * slots, (pixels, topk)).astype(np.int32)
    scores[::5, (topk + 1) // 2 :] = -np.inf
    scores[::11] = -np.inf
    positions[np.isneginf(scores)] = 0
    return scores, positions


def expected(scores: F32, positions: NDArray[np.int32], labels: list[F32], temperature: float) -> NDArray[np.float64]:
    finite = np.isfinite(scores)
    logits = np.where(finite, scores.astype(np.float64) / temperature, -np.inf)
    weights = np.exp(logits - np.where(finite[:, :1], logits[:, :1], 0))
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-300)
    return np.asarray(np.einsum("qk,qkp->qp", weights, np.concatenate(labels).astype(np.float64)[positions]))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("maps", [1, 5, 63, 64, 65, 256, 1024])
def test_equals_numpy(isa: str, maps: int) -> None:
    rng = np.random.default_rng(maps)
    scores, positions = random_matches(rng, pixels=60, slots=3, topk=10)
    labels = [rng.random((60, maps)).astype(np.float32) for _ in range(3)]
    found = native.propagate(scores, positions, labels, temperature=0.07, isa=isa)
    # Ten float32 products of weights with relative error 4e-7 (expf and the sum) and labels up to 1.
    np.testing.assert_allclose(found, expected(scores, positions, labels, 0.07), atol=2e-6, rtol=0)
    assert not found[::11].any()


@pytest.mark.parametrize("topk", [1, 32])
def test_list_lengths_and_threads(topk: int) -> None:
    rng = np.random.default_rng(topk)
    scores, positions = random_matches(rng, pixels=1100, slots=2, topk=topk)
    labels = [rng.random((1100, 7)).astype(np.float32) for _ in range(2)]
    one = native.propagate(scores, positions, labels, temperature=1.0)
    two = native.propagate(scores, positions, labels, temperature=1.0, threads=2)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, expected(scores, positions, labels, 1.0), atol=2e-6, rtol=0)


def test_no_maps() -> None:
    scores, positions = np.zeros((4, 1), np.float32), np.zeros((4, 1), np.int32)
    assert native.propagate(scores, positions, [np.zeros((4, 0), np.float32)], temperature=1.0).shape == (4, 0)


@pytest.mark.parametrize("position", [-1, 8])
def test_positions_outside_the_keys_are_refused(position: int) -> None:
    scores, positions = np.zeros((4, 1), np.float32), np.full((4, 1), position, np.int32)
    with pytest.raises(native.NativeArgumentError, match="outside the key frames"):
        native.propagate(scores, positions, [np.zeros((4, 2), np.float32)] * 2, temperature=1.0)
