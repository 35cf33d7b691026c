"""Normalising features: against the reference, in any memory order, with bad values refused."""

from __future__ import annotations

import numpy as np
import pytest

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.features import unit_features
from fgvc_kernels.reference import unit_rows


def test_equals_the_reference() -> None:
    features = np.random.default_rng(0).standard_normal((7, 9, 256)).astype(np.float32)
    found = unit_features(features)
    assert found.hw == (7, 9)
    assert found.unit.dtype == np.float32
    assert found.unit.flags.c_contiguous
    expected = unit_rows(features.astype(np.float64)).reshape(63, 256)
    # A few float32 roundings of numbers below 0.3.
    np.testing.assert_allclose(found.unit, expected, rtol=0, atol=1e-7)


def test_channels_first_memory_gives_the_same() -> None:
    stored = np.random.default_rng(1).standard_normal((5, 4, 6)).astype(np.float32)
    view = stored.transpose(1, 2, 0)
    np.testing.assert_array_equal(unit_features(view).unit, unit_features(view.copy()).unit)


def test_the_callers_array_is_left_alone() -> None:
    features = np.ones((2, 2, 3), np.float32)
    unit_features(features)
    assert (features == 1).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-14])
def test_tiny_features_are_divided_by_eps(value: float) -> None:
    found = unit_features(np.full((1, 2, 4), value, np.float32)).unit
    np.testing.assert_allclose(found, value / 1e-12, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    features = np.ones((3, 3, 2), np.float32)
    features[1, 2, 0] = value
    with pytest.raises(InputError, match="not finite"):
        unit_features(features)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4, 2), (3, 4, 0), (1, 3, 4, 2)])
def test_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="give a non-empty"):
        unit_features(np.ones(shape, np.float32))
