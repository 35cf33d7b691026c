"""The bound of docs/screening.md, and that screening never changes a score, on features chosen to break it."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_kernels import native

AVAILABLE, REASON = native.available()
if not AVAILABLE and os.environ.get("FGVC_REQUIRE_NATIVE") == "1":
    raise RuntimeError(REASON)
pytestmark = pytest.mark.skipif(not AVAILABLE, reason=REASON)

SCREENING = [isa for isa in native.isas() if native.screens(isa)] if AVAILABLE else []
HW, RADIUS = (9, 10), 4.5
KINDS = ("random", "relu", "near_ties", "same", "duplicates", "zeros", "huge_and_tiny", "one_hot", "holes")

F32 = NDArray[np.float32]


def adversarial(kind: str, seed: int, frames: int, channels: int, spread: float) -> F32:
    """Raw features [frames, pixels, C] of one kind; `spread` is how far near ties are apart."""
    rng = np.random.default_rng(seed)
    shape = (frames, HW[0] * HW[1], channels)
    noise = rng.standard_normal(shape)
    base = rng.standard_normal(channels)
    makers: dict[str, Callable[[], NDArray[np.float64]]] = {
        "random": lambda: noise,
        "relu": lambda: np.maximum(noise, 0),
        "near_ties": lambda: base + spread * noise,
        "same": lambda: np.broadcast_to(base, shape).copy(),
        "duplicates": lambda: noise[:, rng.integers(0, 3, shape[1])],
        "zeros": lambda: noise * (rng.random(shape[:2]) < 0.5)[..., None],
        "huge_and_tiny": lambda: noise * 10.0 ** rng.integers(-30, 30, shape[:2])[..., None],
        "one_hot": lambda: np.eye(channels)[rng.integers(0, channels, shape[:2])] + spread * noise,
        "holes": lambda: np.where(rng.random(shape) < 0.01, rng.choice([np.nan, np.inf, -np.inf], shape), noise),
    }
    return np.ascontiguousarray(makers[kind](), np.float32)


def from_bf16(rows: NDArray[np.uint16]) -> NDArray[np.float64]:
    return (rows.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


features = given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**16),
    frames=st.integers(2, 4),
    channels=st.sampled_from([8, 24, 64, 104, 160]),
    spread=st.sampled_from([1e-7, 1e-5, 1e-3, 1e-1]),
)


def centre_of(unit: F32) -> F32:
    rows = unit[np.isfinite(unit).all(1)]
    return rows.mean(0).astype(np.float32) if len(rows) else np.zeros(unit.shape[1], np.float32)


@pytest.mark.parametrize("isa", SCREENING)
@settings(derandomize=True, database=None, max_examples=60, deadline=None)
@features
@example(kind="near_ties", seed=1, frames=4, channels=64, spread=1e-5)
@example(kind="same", seed=1, frames=3, channels=64, spread=1e-3)
@example(kind="holes", seed=1, frames=3, channels=64, spread=1e-3)
def test_same_bits_as_fp32(isa: str, kind: str, seed: int, frames: int, channels: int, spread: float) -> None:
    units = [native.normalise(raw, isa=isa) for raw in adversarial(kind, seed, frames, channels, spread)]
    centre = centre_of(units[0])
    halves = [native.halve(unit, centre, isa=isa) for unit in units]
    for topk in (1, 10):
        plain = native.match(units[0], units[1:], HW, radius=RADIUS, topk=topk, isa=isa)
        screened = native.match(
            units[0], units[1:], HW, radius=RADIUS, topk=topk, halves=(halves[0], halves[1:]), isa=isa
        )
        np.testing.assert_array_equal(screened.scores, plain.scores)


@settings(derandomize=True, database=None, max_examples=60, deadline=None)
@features
def test_bound_holds(kind: str, seed: int, frames: int, channels: int, spread: float) -> None:
    """|q.k - (q'.k' + bias + c)| <= |q'|e(k) + e(q)|k - m|, in float64, for every pair of finite pixels."""
    query, key = (native.normalise(raw) for raw in adversarial(kind, seed, frames, channels, spread)[:2])
    centre = centre_of(query)
    half_q, half_k = native.halve(query, centre), native.halve(key, centre)
    finite_q, finite_k = np.isfinite(query).all(1), np.isfinite(key).all(1)
    pixels = len(query)
    assert np.isneginf(half_k.bias[:pixels][~finite_k]).all()
    exact = query.astype(np.float64) @ key.T.astype(np.float64)
    low = from_bf16(half_q.rows[:pixels]) @ from_bf16(half_k.rows[:pixels]).T
    approximate = low[:, :channels] if low.shape[1] == channels else low
    shift = query.astype(np.float64) @ centre.astype(np.float64)
    estimate = approximate + half_k.bias[None, :pixels] + shift[:, None]
    query_norm = (half_q.norm + half_q.error)[:pixels, None]
    bound = query_norm * half_k.error[None, :pixels] + half_q.error[:pixels, None] * half_k.norm[None, :pixels]
    # The float32 sum behind the bias (docs/screening.md, step 4).
    slack = (channels / 16 + 20) * 2**-22
    pairs = np.ix_(finite_q, finite_k)
    assert (np.abs(exact[pairs] - estimate[pairs]) <= bound[pairs] + slack).all()


@pytest.mark.parametrize("isa", SCREENING)
def test_a_full_candidate_list_is_settled_not_cut(isa: str) -> None:
    """Identical features: every key of the window is a candidate of every query, more than the list can hold."""
    hw, channels = (40, 40), 16
    unit = native.normalise(np.ones((hw[0] * hw[1], channels), np.float32), isa=isa)
    half = native.halve(unit, np.zeros(channels, np.float32), isa=isa)
    rng = np.random.default_rng(3)
    better = native.normalise(1 + 1e-4 * rng.standard_normal(unit.shape).astype(np.float32), isa=isa)
    keys = [better, unit, unit, unit]
    halves = [native.halve(better, half.centre, isa=isa), half, half, half]
    screened = native.match(unit, keys, hw, radius=15.0, halves=(half, halves), isa=isa)
    plain = native.match(unit, keys, hw, radius=15.0, isa=isa)
    assert screened.stats[3] > 0, "the list never filled: this test does not test anything"
    np.testing.assert_array_equal(screened.scores, plain.scores)
