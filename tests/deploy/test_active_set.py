"""The active set of few points: geometry against brute force, the proven bound of one step, and who uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle
from fgvc_deploy.propagation.active_set import label_mass, within_reach
from fgvc_deploy.propagation.base import FeatureMap, Window
from fgvc_deploy.propagation.select import propagation_names
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.propagation.weights import propagate, softmax_weights
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.label_group import LabelGroup
from fgvc_kernels.reference import window_mask
from portable_graph import runnable

Shape = Literal["circle", "square"]
Float32Array = NDArray[np.float32]


def test_mass_is_relative_to_each_channels_own_maximum() -> None:
    labels = np.array([[1.0, 0.0, 0.0], [0.1, 0.01, 0.0], [0.2, 0.0, 0.0], [0.0, 0.002, 0.0]], np.float32)
    assert label_mass(labels, 0.5).tolist() == [True, True, False, False]
    assert label_mass(labels, 0.1).tolist() == [True, True, True, True]
    assert label_mass(labels, 0.2).tolist() == [True, True, False, False]


@settings(derandomize=True, deadline=None, max_examples=80, database=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from(["circle", "square"]),
    st.one_of(st.floats(0.1, 30), st.just(np.inf)),
    st.floats(0, 0.2),
    st.integers(0, 10**6),
)
def test_reach_is_the_window_around_the_mass(
    hw: tuple[int, int], shape: Shape, radius: float, share: float, seed: int
) -> None:
    mass = np.random.default_rng(seed).random(hw[0] * hw[1]) < share
    allowed = window_mask(hw, shape, radius)
    np.testing.assert_array_equal(within_reach(mass, hw, Window(shape, radius)), allowed[mass].any(axis=0))


@pytest.mark.parametrize("name", propagation_names())
def test_active_pixels_are_matched_as_without_a_mask_bit_for_bit(name: str, graph_bundle: Bundle) -> None:
    """The others are empty, or the backend computed them like the rest."""
    backend = runnable(name, graph_bundle, 2)
    rng = np.random.default_rng(5)
    hw, window = (29, 45), Window("circle", 5.5)
    query, *keys = (backend.prepare(rng.random((*hw, 16), dtype=np.float32)) for _ in range(4))
    active = within_reach(rng.random(hw[0] * hw[1]) < 0.004, hw, window)
    assert 0.1 < active.mean() < 0.6
    full, part = (backend.match(query, keys, window, 10, a) for a in (None, active))
    np.testing.assert_array_equal(part.scores[active], full.scores[active])
    np.testing.assert_array_equal(part.positions[active], full.positions[active])
    assert (np.isneginf(part.scores[~active]) | (part.scores[~active] == full.scores[~active])).all()


@settings(derandomize=True, deadline=None, max_examples=25, database=None)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 1e-2, 1e-5]), st.floats(0.6, 6))
def test_one_step_is_off_by_at_most_tau_of_the_highest_label(seed: int, tau: float, radius: float) -> None:
    """Where a pixel is left out, all labels it could have taken are at most tau times their channel's maximum."""
    rng = np.random.default_rng(seed)
    hw, window, backend = (17, 21), Window("circle", radius), TiledBackend(threads=1)
    query, *keys = (backend.prepare(rng.standard_normal((*hw, 8)).astype(np.float32)) for _ in range(3))
    # Labels over many orders of magnitude, so that every tau leaves something out.
    labels = [(10.0 ** rng.uniform(-9, 0, (hw[0] * hw[1], 3))).astype(np.float32) for _ in keys]
    labels = [np.where(label < 0.5 * rng.random(3), label * 1e-6, label).astype(np.float32) for label in labels]
    active = within_reach(np.logical_or.reduce([label_mass(label, tau) for label in labels]), hw, window)
    carried = []
    for mask in (None, active):
        matches = backend.match(query, keys, window, 10, mask)
        carried.append(propagate(matches, softmax_weights(matches.scores, 0.07), labels))
    exact, part = carried
    np.testing.assert_array_equal(part[active], exact[active])
    assert (part[~active] == 0).all()
    # The weights of a pixel add up to 1 within a few roundings.
    assert (exact[~active] <= tau * np.max(labels, axis=(0, 1)) * (1 + 1e-5)).all()


def group_with(labels: Sequence[Float32Array], memory: int) -> LabelGroup:
    features = FeatureMap((2, 2), np.zeros((4, 8), np.float32))
    group = LabelGroup(7, features, labels[0], memory, active_tau=0.5)
    for label in labels[1:]:
        group.next_labels()[...] = label
        group.advance()
    return group


def test_mass_leaves_with_its_frame_but_for_the_first() -> None:
    labels = [np.eye(4, dtype=np.float32)[[t]].T for t in (0, 1, 2, 2)]
    assert group_with(labels[:2], 2).mass().tolist() == [True, True, False, False]  # type: ignore[union-attr]
    assert group_with(labels, 2).mass().tolist() == [True, False, True, False]  # type: ignore[union-attr]


def test_denormal_labels_are_stored_as_zero() -> None:
    """Because processors multiply them many times slower; the smallest normal number stays."""
    faint = np.array([[1.0], [1.2e-38], [1.1e-38], [1e-45]], np.float32)
    group = group_with([faint, faint], 2)
    for frame in group.frames:
        np.testing.assert_array_equal(group.labels_of(frame), np.where(faint < 1.15e-38, 0, faint))
    assert faint[2] > 0


def test_mass_of_a_dropped_point_is_forgotten() -> None:
    labels = [np.eye(4, dtype=np.float32)[:, :2], np.eye(4, dtype=np.float32)[:, 2:]]
    group = group_with(labels, 3)
    group.keep(np.array([False, True]))
    assert group.mass().tolist() == [False, True, False, True]  # type: ignore[union-attr]
    np.testing.assert_array_equal(group.labels, labels[1][:, 1:])


def test_settings_refuse_a_tau_that_leaves_nothing() -> None:
    for tau in (-1e-9, 1.0):
        with pytest.raises(ValueError, match="active_tau"):
            PropagationSettings(active_tau=tau)
