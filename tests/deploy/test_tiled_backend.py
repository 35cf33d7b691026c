"""The NumPy backend finds what the reference finds, on any map, window, k and number of key frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import FeatureMap, Matches, Window
from fgvc_deploy.propagation.tile_search import TILE
from fgvc_deploy.propagation.tiled import TiledBackend, blocks_of
from fgvc_kernels.reference import check_matches

Shape = Literal["circle", "square"]
BACKEND = TiledBackend(threads=2)


@pytest.fixture
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """`np.empty` returns NaN and huge numbers, so that reading memory before writing it shows."""

    def poisoned(shape: Any, dtype: Any = float, **options: Any) -> NDArray[Any]:
        kind = np.dtype(dtype).kind
        return np.full(shape, np.nan if kind == "f" else np.iinfo(dtype).max if kind in "iu" else 1, dtype, **options)

    monkeypatch.setattr(np, "empty", poisoned)


def random_maps(hw: tuple[int, int], frames: int, channels: int = 8, seed: int = 0) -> list[FeatureMap]:
    """Query first, then the key frames."""
    rng = np.random.default_rng(seed)
    shape = (*hw, channels)
    return [BACKEND.prepare(rng.standard_normal(shape).astype(np.float32)) for _ in range(frames + 1)]


def checked(maps: list[FeatureMap], window: Window, topk: int, rows: range | None = None) -> Matches:
    """Match and compare with the reference; scores are float32 sums of unit features, hence 1e-6."""
    query, *keys = maps
    found = BACKEND.match(query, keys, window, topk)
    units = [key.unit for key in keys]
    check_matches(
        found.scores, found.positions, query.unit, units, query.hw, *window, topk, tolerance=1e-6, rows=rows
    )
    return found


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("hw", [(9, 13), (1, 1), (1, 37), (37, 1), (8, 8), (66, 11), (24, 25)])
@pytest.mark.parametrize(
    "window",
    [
        *[Window("circle", radius) for radius in (0.5, 1.0, 1.5, 4.0, 7.5, 15.0, 100.0)],
        *[Window("square", radius) for radius in (0.5, 1.0, 3.7, 100.0, np.inf)],
    ],
    ids=lambda window: f"{window.shape}{window.radius:g}",
)
@pytest.mark.parametrize(("frames", "topk"), [(1, 1), (1, 10), (3, 10), (2, 300)])
def test_equals_the_reference(hw: tuple[int, int], window: Window, frames: int, topk: int) -> None:
    checked(random_maps(hw, frames), window, topk)


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from(["circle", "square"]),
    st.floats(0.1, 40),
    st.integers(1, 40),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 10**6),
)
def test_equals_the_reference_anywhere(
    hw: tuple[int, int], shape: Shape, radius: float, topk: int, frames: int, channels: int, seed: int
) -> None:
    checked(random_maps(hw, frames, channels, seed), Window(shape, radius), topk)


@pytest.mark.usefixtures("poisoned_memory")
def test_a_window_of_several_steps() -> None:
    """70 x 70 keys times 64 queries do not fit one step; random and tied scores."""
    maps = random_maps((70, 70), 2, channels=4)
    some = range(0, 4900, 13)
    checked(maps, Window("circle", 90.5), 10, some)
    checked([maps[0], maps[0], maps[0]], Window("square", 70.0), 40, some)


def test_a_large_k_makes_blocks_that_cut_tiles() -> None:
    window = Window("square", 20.0)
    maps = random_maps((90, 20), 2, channels=3)
    assert blocks_of((90, 20), 700)[0].y1 % TILE != 0
    checked(maps, window, 700, range(0, 1800, 7))


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize(("hw", "topk"), [((66, 29), 10), ((9, 13), 300), ((5, 5), 3)])
def test_only_active_queries_are_answered(hw: tuple[int, int], topk: int) -> None:
    """The active ones as without the mask, bit for bit; the others empty, also in a tile or block with none."""
    query, *keys = random_maps(hw, 3)
    window = Window("circle", 4.0)
    rng = np.random.default_rng(3)
    active = np.zeros(hw, np.bool_)
    active[: hw[0] // 2, hw[1] // 3 :] = rng.random((hw[0] // 2, hw[1] - hw[1] // 3)) < 0.3
    full, part = (BACKEND.match(query, keys, window, topk, a) for a in (None, active.ravel()))
    np.testing.assert_array_equal(part.scores[active.ravel()], full.scores[active.ravel()])
    np.testing.assert_array_equal(part.positions[active.ravel()], full.positions[active.ravel()])
    assert np.isneginf(part.scores[~active.ravel()]).all()
    assert (part.positions[~active.ravel()] == 0).all()
    nothing = BACKEND.match(query, keys, window, topk, np.zeros(active.size, np.bool_))
    assert np.isneginf(nothing.scores).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_answer_does_not_depend_on_threads_or_history(threads: int) -> None:
    query, *keys = random_maps((70, 45), 4, channels=32)
    window = Window("circle", 7.5)
    first = TiledBackend(threads=1).match(query, keys, window, 10)
    backend = TiledBackend(threads=threads)
    backend.match(keys[0], keys[1:], Window("square", 3.0), 4)
    for _ in range(2):
        again = backend.match(query, keys, window, 10)
        np.testing.assert_array_equal(again.scores, first.scores)
        np.testing.assert_array_equal(again.positions, first.positions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": []}, "no key frames"),
        ({"keys": random_maps((4, 6), 1)}, "a key frame is"),
        ({"keys": random_maps((4, 5), 1, channels=3)}, "a key frame is"),
        ({"window": Window("disc", 3.0)}, "'disc' is unknown"),  # type: ignore[arg-type]
        ({"window": Window("circle", 0.0)}, "radius 0.0 leaves no keys"),
        ({"window": Window("circle", float("nan"))}, "radius nan leaves no keys"),
        ({"topk": 0}, "k must be at least 1"),
        ({"active": np.ones(19, np.bool_)}, r"the active set is bool \(19,\): give bool \(20,\)"),
        ({"active": np.ones(20, np.uint8)}, "the active set is uint8"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    query, *keys = random_maps((4, 5), 2)
    arguments: dict[str, Any] = {"query": query, "keys": keys, "window": Window("circle", 3.0), "topk": 4}
    with pytest.raises(InputError, match=message):
        BACKEND.match(**(arguments | change))


def test_no_threads_is_an_error() -> None:
    with pytest.raises(InputError, match="0 threads"):
        TiledBackend(threads=0)
