"""Every backend of the propagation table answers the same requests alike, and refuses the same ones."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_benchmarks.subjects.propagation import make_backend
from fgvc_deploy.bundle import Bundle
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.propagation.base import FeatureMap, Matches, PropagationBackend, Window
from fgvc_deploy.propagation.native import NativeBackend
from fgvc_deploy.propagation.onnx_graph import OnnxGraphBackend
from fgvc_deploy.propagation.select import create_propagation, propagation_names
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import PropagationSettings
from fgvc_kernels import native
from fgvc_kernels.reference import check_matches
from portable_graph import runnable

Frames = NDArray[np.float32]
# Cosines of unit vectors of 24 channels in float32: a few roundings.
TOLERANCE = 1e-6
WINDOWS = [Window("circle", 4.5), Window("square", 2), Window("circle", 1.0), Window("circle", np.inf)]


@pytest.fixture(params=propagation_names())
def backend(request: pytest.FixtureRequest, graph_bundle: Bundle) -> PropagationBackend:
    return runnable(request.param, graph_bundle, 2)


def random_frames(hw: tuple[int, int], count: int = 4) -> Frames:
    return np.random.default_rng(3).standard_normal((count, *hw, 24)).astype(np.float32)


def tied_frames(hw: tuple[int, int], count: int = 4) -> Frames:
    """Three different pixels, so that most scores are equal; and pixels that are zero."""
    rng = np.random.default_rng(4)
    palette = np.concatenate([rng.standard_normal((3, 24)), np.zeros((1, 24))]).astype(np.float32)
    return np.asarray(palette[rng.integers(0, 4, (count, *hw))])


def matched(
    backend: PropagationBackend, frames: Frames, window: Window, topk: int
) -> tuple[Matches, list[FeatureMap]]:
    query, *keys = maps = [backend.prepare(frame) for frame in frames]
    return backend.match(query, keys, window, topk), maps


def check(found: Matches, maps: Sequence[FeatureMap], window: Window, topk: int) -> None:
    """Against float64, by value: with ties more than one answer is right."""
    query, *keys = maps
    units = [key.unit for key in keys]
    check_matches(*found, query.unit, units, query.hw, *window, topk, tolerance=TOLERANCE)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("hw", [(11, 13), (1, 9), (20, 3)], ids=str)
@pytest.mark.parametrize("frames", [random_frames, tied_frames])
def test_the_best_keys(backend: PropagationBackend, frames: object, hw: tuple[int, int], window: Window) -> None:
    assert callable(frames)
    found, maps = matched(backend, frames(hw), window, 10)
    check(found, maps, window, 10)


@pytest.mark.parametrize("keys", [1, 2])
def test_fewer_keys_than_k(backend: PropagationBackend, keys: int) -> None:
    """A corner of one key frame has four keys; what is missing comes last, as -inf and 0."""
    window = Window("circle", 1.5)
    found, maps = matched(backend, random_frames((6, 7), keys + 1), window, 20)
    check(found, maps, window, 20)
    counts = np.isfinite(found.scores).sum(axis=1).reshape(6, 7)
    assert counts[0, 0] == 4 * keys
    assert counts[0, 3] == 6 * keys
    assert counts[3, 3] == 9 * keys
    missing = np.isneginf(found.scores)
    assert (found.positions[missing] == 0).all()
    np.testing.assert_array_equal(missing, np.arange(20) >= counts.reshape(-1, 1))


def test_identical_features_everywhere(backend: PropagationBackend) -> None:
    """Every key ties with every other, over more than one tile."""
    window = Window("circle", 15.0)
    found, maps = matched(backend, np.full((3, 40, 41, 5), 3.0, np.float32), window, 10)
    check(found, maps, window, 10)
    np.testing.assert_allclose(found.scores, 1, rtol=0, atol=TOLERANCE)


def test_a_few_distinct_features(backend: PropagationBackend) -> None:
    """Ties by the hundred: values must be right, whichever of the equal keys are named."""
    rng = np.random.default_rng(2)
    palette = rng.standard_normal((3, 6)).astype(np.float32)
    window = Window("circle", 7.5)
    found, maps = matched(backend, palette[rng.integers(0, 3, (4, 21, 22))], window, 10)
    check(found, maps, window, 10)


def test_a_key_frame_listed_twice(backend: PropagationBackend) -> None:
    """The reference's habit (goldens item 12): every key ties with itself, and both are counted."""
    query, key = (backend.prepare(frame) for frame in random_frames((19, 18), 2))
    window = Window("circle", 4.0)
    twice = backend.match(query, [key, key], window, 10)
    check(twice, [query, key, key], window, 10)
    once = backend.match(query, [key], window, 5)
    np.testing.assert_array_equal(twice.scores, np.repeat(once.scores, 2, axis=1))


def test_zero_features_match_everything_equally(backend: PropagationBackend) -> None:
    """Zero features normalise to zero: cosine 0 with every key; tiny ones are no zeros."""
    features = np.random.default_rng(4).standard_normal((3, 10, 11, 4)).astype(np.float32)
    features[0, 4:7, 4:7] = 0
    features[1:, 2:5] = 1e-30
    window = Window("circle", 3.0)
    found, maps = matched(backend, features, window, 10)
    check(found, maps, window, 10)
    assert (found.scores.reshape(10, 11, 10)[5, 5] == 0).all()


def test_inputs_are_left_alone(backend: PropagationBackend) -> None:
    raw = random_frames((12, 9), 3)
    query, *keys = maps = [backend.prepare(frame) for frame in raw]
    np.testing.assert_array_equal(raw, random_frames((12, 9), 3))
    before = [frame.unit.copy() for frame in maps]
    backend.match(query, keys, Window("circle", 4.0), 3)
    for frame, unit in zip(maps, before, strict=True):
        np.testing.assert_array_equal(frame.unit, unit)


def test_types_and_shapes(backend: PropagationBackend) -> None:
    found, maps = matched(backend, random_frames((5, 8)), WINDOWS[0], 3)
    assert found.scores.dtype == np.float32
    assert found.positions.dtype == np.int32
    assert found.scores.shape == found.positions.shape == (40, 3)
    assert maps[0].hw == (5, 8)
    assert maps[0].unit.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused_before_matching(backend: PropagationBackend, value: float) -> None:
    features = random_frames((6, 7), 1)[0]
    features[2, 3, 5] = value
    with pytest.raises(InputError, match=r"^features of a frame are not finite: the encoder or its input is broken$"):
        backend.prepare(features)


@pytest.mark.skipif(not native.available()[0], reason="the native kernel is not built")
def test_the_native_fp32_path_refuses_them_too() -> None:
    features = random_frames((6, 7), 1)[0]
    NativeBackend(precision="fp32").prepare(features)
    features[5, 6, 23] = np.inf
    with pytest.raises(InputError, match="features of a frame are not finite"):
        NativeBackend(precision="fp32").prepare(features)


def test_threads_default_to_all_cores_everywhere() -> None:
    for made in (NativeBackend, OnnxGraphBackend, TiledBackend):
        assert inspect.signature(made).parameters["threads"].default is None


@pytest.mark.parametrize("name", propagation_names())
def test_coarse_to_fine_matches_its_cells_with_the_backend_asked_for(name: str, graph_bundle: Bundle) -> None:
    """The answers are those of NumPy's cells: random cells are too different to tie."""
    runnable(name, graph_bundle, 1)
    settings = PropagationSettings(mode="coarse_to_fine", coarse_radius=3.0, fine_radius=2)
    frames = random_frames((22, 30))
    asked, plain = (create_propagation(which, settings, 2, graph_bundle) for which in (name, "numpy"))
    assert asked.name == f"coarse_to_fine ({name})"
    found, expected = (matched(backend, frames, WINDOWS[0], 10)[0] for backend in (asked, plain))
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=TOLERANCE)
    with pytest.raises(InputError, match="no propagation backend is called 'tpu'"):
        create_propagation("tpu", settings, 2, graph_bundle)


@pytest.mark.parametrize("name", propagation_names())
def test_the_benchmarks_make_the_same_backends(name: str, graph_bundle: Bundle) -> None:
    made = runnable(name, graph_bundle, 1)
    options = {"bundle": graph_bundle.path} if name == "onnx" else {}
    assert type(make_backend(name, options, 1)) is type(made)
    if name == "onnx":
        with pytest.raises(BackendError, match="its graph lies in a bundle, and none is given"):
            make_backend(name, {}, 1)
