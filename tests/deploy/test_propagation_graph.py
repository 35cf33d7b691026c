"""The portable graph finds what the reference finds, on any map, window, k and number of key frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import FeatureMap, Matches, Window
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_kernels.reference import check_matches
from portable_graph import graph_backend

Shape = Literal["circle", "square"]
BACKEND = graph_backend()


def random_maps(hw: tuple[int, int], frames: int, channels: int = 8, seed: int = 0) -> list[FeatureMap]:
    """Query first, then the key frames."""
    rng = np.random.default_rng(seed)
    shape = (*hw, channels)
    return [BACKEND.prepare(rng.standard_normal(shape).astype(np.float32)) for _ in range(frames + 1)]


def checked(maps: list[FeatureMap], window: Window, topk: int) -> Matches:
    """Match and compare with the reference; scores are float32 sums of unit features, hence 1e-6."""
    query, *keys = maps
    found = BACKEND.match(query, keys, window, topk)
    units = [key.unit for key in keys]
    check_matches(found.scores, found.positions, query.unit, units, query.hw, *window, topk, tolerance=1e-6)
    return found


@pytest.mark.parametrize("hw", [(9, 13), (1, 1), (1, 37), (37, 1), (8, 8), (33, 11), (24, 25)])
@pytest.mark.parametrize(
    "window",
    [
        # The square of the third, 5 + 9e-16, is 5 in float32: then the keys at distance sqrt(5) would be lost.
        *[Window("circle", radius) for radius in (0.5, 1.0, float(np.sqrt(5)), 4.0, 7.5, 15.0, 100.0)],
        *[Window("square", radius) for radius in (0.5, 1.0, 3.7, 100.0, np.inf)],
    ],
    ids=lambda window: f"{window.shape}{window.radius:g}",
)
@pytest.mark.parametrize(("frames", "topk"), [(1, 1), (3, 10), (2, 300)])
def test_equals_the_reference(hw: tuple[int, int], window: Window, frames: int, topk: int) -> None:
    checked(random_maps(hw, frames), window, topk)


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from(["circle", "square"]),
    st.floats(0.1, 40),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 10**6),
)
def test_equals_the_reference_anywhere(
    hw: tuple[int, int], shape: Shape, radius: float, topk: int, frames: int, channels: int, seed: int
) -> None:
    checked(random_maps(hw, frames, channels, seed), Window(shape, radius), topk)


def test_memory_that_fills_frame_by_frame() -> None:
    """1 to 6 key frames in turn, then fewer again, by one backend."""
    query, *keys = random_maps((21, 18), 6, channels=16)
    for frames in (1, 2, 3, 4, 5, 6, 2):
        checked([query, *keys[:frames]], Window("circle", 5.0), 10)


@pytest.mark.parametrize("frames", [2, 5])
def test_a_steady_step_stacks_the_keys_in_the_same_memory(frames: int) -> None:
    backend = graph_backend()
    query, *keys = random_maps((16, 17), frames)
    backend.match(query, keys, Window("circle", 3.0), 4)
    before = backend._keys
    found = backend.match(query, keys[::-1], Window("circle", 3.0), 4)
    assert backend._keys is before
    units = [key.unit for key in keys[::-1]]
    check_matches(found.scores, found.positions, query.unit, units, query.hw, "circle", 3.0, 4)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.2, 1.0])
def test_queries_that_are_not_active_are_empty_and_the_others_unchanged(share: float) -> None:
    """Also with no active query at all, when the loop over tiles still needs a turn."""
    query, *keys = random_maps((29, 45), 3)
    active = np.random.default_rng(5).random(29 * 45) < share
    full, part = (BACKEND.match(query, keys, Window("circle", 5.5), 10, a) for a in (None, active))
    np.testing.assert_array_equal(part.scores, np.where(active[:, None], full.scores, -np.inf))
    np.testing.assert_array_equal(part.positions, np.where(active[:, None], full.positions, 0))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_answer_does_not_depend_on_history(threads: int) -> None:
    query, *keys = random_maps((40, 35), 4, channels=32)
    window = Window("circle", 7.5)
    backend = graph_backend(threads)
    first = backend.match(query, keys, window, 10)
    backend.match(keys[0], keys[1:], Window("square", 3.0), 4)
    again = backend.match(query, keys, window, 10)
    np.testing.assert_array_equal(again.scores, first.scores)
    np.testing.assert_array_equal(again.positions, first.positions)


@pytest.mark.parametrize(
    "change",
    [
        {"keys": []},
        {"keys": random_maps((4, 6), 1)},
        {"keys": random_maps((4, 5), 1, channels=3)},
        {"window": Window("disc", 3.0)},  # type: ignore[arg-type]
        {"window": Window("circle", 0.0)},
        {"topk": 0},
        {"active": np.ones(19, np.bool_)},
    ],
)
def test_requests_are_refused_in_the_words_of_the_numpy_backend(change: dict[str, Any]) -> None:
    query, *keys = random_maps((4, 5), 2)
    arguments: dict[str, Any] = {"query": query, "keys": keys, "window": Window("circle", 3.0), "topk": 4} | change
    told = []
    for backend in (TiledBackend(threads=1), BACKEND):
        with pytest.raises(InputError) as caught:
            backend.match(**arguments)
        told.append(str(caught.value))
    assert told[0] == told[1]
