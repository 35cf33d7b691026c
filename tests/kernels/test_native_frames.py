"""Per-frame work of the native kernels: normalisation and the bf16 copy."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fgvc_kernels import native
from fgvc_kernels.reference import unit_rows

AVAILABLE, REASON = native.available()
if not AVAILABLE and os.environ.get("FGVC_REQUIRE_NATIVE") == "1":
    raise RuntimeError(REASON)
pytestmark = pytest.mark.skipif(not AVAILABLE, reason=REASON)
ISAS = native.isas() if AVAILABLE else ()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [1, 8, 24, 37, 256])
@pytest.mark.parametrize("threads", [1, 2])
def test_normalise_equals_reference(isa: str, channels: int, threads: int) -> None:
    raw = np.random.default_rng(1).standard_normal((1300, channels)).astype(np.float32)
    found = native.normalise(raw, threads=threads, isa=isa)
    # One float32 division and one rounding of the norm.
    np.testing.assert_allclose(found, unit_rows(raw.astype(np.float64)), rtol=2e-7, atol=0)


@pytest.mark.parametrize("isa", ISAS)
def test_rows_of_any_finite_size_normalise(isa: str) -> None:
    direction = np.array([3, -4, 0, 0, 0, 0, 0, 0], np.float32)
    scales = np.array([1e-38, 1e-30, 1e-11, 1.0, 1e10, 8e37], np.float32)
    found = native.normalise(direction * scales[:, None], isa=isa)
    np.testing.assert_allclose(found[2:, :2], np.tile([[0.6, -0.8]], (4, 1)), rtol=2e-7)
    # Below 1e-12 the divisor stays 1e-12, as in F.normalize.
    np.testing.assert_allclose(found[:2], direction * scales[:2, None] / 1e-12, rtol=2e-7)
    assert not native.normalise(np.zeros((3, 8), np.float32), isa=isa).any()


@pytest.mark.parametrize("isa", ISAS)
def test_a_row_with_an_infinity_is_not_a_number(isa: str) -> None:
    raw = np.ones((2, 8), np.float32)
    raw[0, 3], raw[1, 5] = np.inf, np.nan
    found = native.normalise(raw, isa=isa)
    assert np.isnan(found[0, 3])
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [8, 40, 96])
def test_halves_are_rounded_and_measured(isa: str, channels: int) -> None:
    rng = np.random.default_rng(2)
    unit = native.normalise(rng.random((70, channels)).astype(np.float32), isa=isa)
    centre = unit.mean(0)
    half = native.halve(unit, centre, threads=2, isa=isa)
    rows = (half.rows.astype(np.uint32) << 16).view(np.float32)
    exact = unit.astype(np.float64) - centre
    assert rows.shape[1] % 32 == 0
    assert not rows[:, channels:].any()
    assert not rows[70:].any()
    assert np.isneginf(half.bias[70:]).all()
    # Nearest bf16 (8 significant bits), after the float32 rounding of the difference.
    assert (np.abs(rows[:70, :channels] - exact) <= 2**-8 * 1.001 * np.abs(exact) + 1e-30).all()
    error = np.linalg.norm(rows[:70, :channels] - exact, axis=1)
    norm = np.linalg.norm(exact, axis=1)
    # `error` also covers the sum of the bf16 products, (C + 2) 2**-23 of the norms, and the float32 difference.
    extra = ((rows.shape[1] + 2) * 1.02 + 1.02) * 2**-23 * (norm + error)
    assert (half.error[:70] >= error).all()
    assert (half.error[:70] <= (error + extra) * (1 + 1e-5) + 1e-16).all()
    np.testing.assert_allclose(half.norm[:70], norm, rtol=6e-6)
    assert (half.norm[:70] >= norm).all()
    np.testing.assert_allclose(half.bias[:70], exact @ centre, atol=1e-6)


def test_same_bits_on_every_instruction_set() -> None:
    raw = np.random.default_rng(4).standard_normal((50, 64)).astype(np.float32)
    found = [native.normalise(raw, isa=isa) for isa in ISAS]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_features_that_are_not_unit_are_refused() -> None:
    ones = np.ones((4, 8), np.float32)
    with pytest.raises(native.NativeArgumentError, match="normalise the features first"):
        native.halve(ones, np.zeros(8, np.float32))
    with pytest.raises(native.NativeArgumentError, match="centre"):
        native.halve(native.normalise(ones), np.full(8, np.nan, np.float32))


def test_halves_start_on_a_cache_line() -> None:
    half = native.halve(np.zeros((3, 8), np.float32), np.zeros(8, np.float32))
    assert half.rows.ctypes.data % 64 == 0
