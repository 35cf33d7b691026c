"""`Model`: what its methods promise beyond the trackers they make; the bundle is the one that ships."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fgvc_deploy
from fgvc_deploy.engines import split_backend
from fgvc_deploy.errors import BundleError, InputError, SourceFault
from fgvc_deploy.model import Model

Clip = NDArray[np.uint8]
QUERIES = [[0, 20, 30], [2, 30, 40]]


@pytest.fixture(scope="module")
def model() -> Model:
    return fgvc_deploy.load()


@pytest.fixture(scope="module")
def clip() -> Clip:
    """uint8 [4, 48, 64, 3]: noise that moves 2 pixels right every frame."""
    noise = np.random.default_rng(11).integers(0, 255, (48, 80, 3), np.uint8)
    return np.stack([noise[:, 8 - 2 * t : 72 - 2 * t] for t in range(4)])


def _mask() -> NDArray[np.uint8]:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:44] = 9
    return mask


def test_propagation_settings_share_one_encoder(model: Model) -> None:
    engine = model.engine()
    other = model.engine(propagation=engine.propagation.model_copy(update={"topk": 5}))
    assert other.encoder is engine.encoder
    assert other.matcher is not engine.matcher
    assert model.engine() is engine


def test_views_and_read_only_frames_track_like_plain_ones(model: Model, clip: Clip) -> None:
    expected = model.track(clip, QUERIES, size="native").tracks
    stored = np.ascontiguousarray(clip[:, ::-1, :, ::-1])
    view = stored[:, ::-1, :, ::-1]
    view.flags.writeable = False
    np.testing.assert_array_equal(model.track(view, QUERIES, size="native").tracks, expected)


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ([[0, 20, 30], [3, 20, 999]], r"queries_tyx: point 1 .* x = 999"),
        ([[0, 20, 30], [4, 20, 30]], r"queries_tyx: point 1 .* t = 4; the video has frames 0 to 3"),
        ([[1e20, 20, 30]], r"queries_tyx: point 0 .* t = 1e\+20"),
        ([[0, 20]], r"\[N, 3\]"),
        ([[0, 20, "here"]], r"queries_tyx must be numbers"),
    ],
)
def test_queries_are_refused_before_anything_is_tracked(queries: Any, words: str, model: Model, clip: Clip) -> None:
    steps: list[int] = []
    with pytest.raises(InputError, match=words):
        model.track(clip, queries, size="native", on_frame=lambda: steps.append(1))
    assert not steps


def test_masks_from_a_later_frame_in_both_directions(model: Model, clip: Clip) -> None:
    ahead = model.track_masks(clip, _mask(), query_frame=2, size="native")
    assert ahead.shape == (4, 48, 64)
    assert not ahead[:2].any()
    np.testing.assert_array_equal(ahead[2], _mask())
    both = model.track_masks(clip, _mask(), query_frame=2, size="native", bidirectional=True)
    assert (both[0] == 9).any()
    np.testing.assert_array_equal(both[2:], ahead[2:])


@pytest.mark.parametrize("query_frame", [-1, 4])
def test_a_mask_on_no_frame(query_frame: int, model: Model, clip: Clip) -> None:
    with pytest.raises(InputError, match=rf"frame {query_frame}; the video has frames 0 to 3"):
        model.track_masks(clip, _mask(), query_frame=query_frame)


def test_a_broken_video_hands_over_what_was_tracked(model: Model, clip: Clip, tmp_path: Path) -> None:
    for t, frame in enumerate(clip):
        Image.fromarray(frame).save(tmp_path / f"{t}.png")
    (tmp_path / "3.png").write_bytes(b"gone")
    with pytest.raises(SourceFault) as points:
        model.track(tmp_path, QUERIES, size="native")
    np.testing.assert_array_equal(points.value.partial.tracks, model.track(clip[:3], QUERIES, size="native").tracks)
    with pytest.raises(SourceFault) as masks:
        model.track_masks(tmp_path, _mask(), size="native")
    assert masks.value.partial.shape == (3, 48, 64)


def _fail(index: int) -> None:
    raise SourceFault("the video is damaged", index)


def test_a_fault_comes_back_from_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(SourceFault, match="damaged") as fault:
        pool.apply_async(_fail, (7,)).get(timeout=60)
    assert fault.value.frame_index == 7
    assert fault.value.partial is None


def test_words_that_do_not_exist(model: Model) -> None:
    with pytest.raises(InputError, match=r"no compat 'refrence'; choose from corrected, reference"):
        model.point_tracker(compat=cast(Any, "refrence"))
    with pytest.raises(InputError, match="no compat 'refrence'"):
        model.mask_tracker(_mask(), compat=cast(Any, "refrence"))
    with pytest.raises(InputError, match=r"no kind 'keypoints'; choose from point, keypoint"):
        model.point_tracker(kind=cast(Any, "keypoints"))
    with pytest.raises(InputError, match="no frame 'now'"):
        model.point_tracker().add_points([[1, 1]], frame=cast(Any, "now"))
    with pytest.raises(BundleError):
        fgvc_deploy.load("")


@pytest.mark.parametrize("size", [256, (64, 64, 3), "big", ("a", 3)], ids=str)
def test_sizes_that_are_none(size: Any, model: Model, clip: Clip) -> None:
    with pytest.raises(InputError, match="is not understood"):
        model.point_tracker(size=size).step(clip[0])


@pytest.mark.parametrize(
    "mask", [np.ones(5, np.uint8), [[0, 1]], np.ones((4, 4, 3), np.uint8)], ids=["1D", "list", "3D"]
)
def test_masks_of_another_kind(mask: Any, model: Model) -> None:
    with pytest.raises(InputError, match=r"give an array \[H, W\]"):
        model.mask_tracker(mask)


@pytest.mark.parametrize("dtype", [np.bool_, ">u2", np.int64])
def test_masks_of_any_whole_numbers(dtype: Any, model: Model, clip: Clip) -> None:
    mask = (_mask() > 0).astype(dtype)[::-1][::-1]
    found = model.mask_tracker(mask, size="native").step(clip[0])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _mask() > 0)


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("auto", ("auto", "auto")),
        ("numpy", ("auto", "numpy")),
        ("onnxruntime", ("onnxruntime", "auto")),
        ("onnxruntime+numpy", ("onnxruntime", "numpy")),
        ("numpy+onnxruntime", ("onnxruntime", "numpy")),
        ("auto+numpy", ("auto", "numpy")),
    ],
)
def test_backend_names(backend: str, expected: tuple[str, str]) -> None:
    assert split_backend(backend) == expected


@pytest.mark.parametrize("backend", ["", "abacus", "native+numpy", "numpy+numpy", "numpy+"])
def test_backend_names_that_mean_nothing(backend: str) -> None:
    with pytest.raises(InputError, match="backend"):
        split_backend(backend)
