"""First masks: what is refused, which ids survive, and where the labels are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.labels.masks import check_mask, harden, mask_labels

HW = (40, 50)


def _with_ids(*ids: int, dtype: Any = np.uint8) -> NDArray[Any]:
    mask = np.zeros(HW, dtype=dtype)
    mask.reshape(-1)[: len(ids)] = ids
    return mask


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.ones((40, 51), np.uint8), "the mask is 40x51 but the frames are 40x50"),
        (np.ones((40, 50, 3), np.uint8), r"the mask is an array of shape \(40, 50, 3\): give"),
        (np.ones(HW, np.float32), "the mask holds float32 values"),
        (np.zeros(HW, np.uint8), "the mask is empty: mark at least one object"),
        (np.zeros(HW, bool), "the mask is empty"),
        (_with_ids(*range(1, 257), dtype=np.int32), "the mask holds 256 objects: at most 255"),
        (_with_ids(7, 300, dtype=np.uint16), "the mask holds ids from 0 to 300: renumber the objects to 1..255"),
        (_with_ids(-1, 3, dtype=np.int64), "the mask holds ids from -1 to 3"),
    ],
    ids=["size", "colour", "float", "empty", "empty bool", "too many", "large id", "negative id"],
)
def test_refused(mask: NDArray[Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_mask(mask, HW)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.int64])
def test_accepted_types(dtype: Any) -> None:
    mask = _with_ids(1, 1, dtype=dtype)
    checked = check_mask(mask, HW)
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(checked, mask)


def test_255_objects_are_accepted() -> None:
    assert len(np.unique(check_mask(_with_ids(*range(1, 256)), HW))) == 256


def test_reference_equals_pillow_of_goldens(goldens: Any, parity: Any) -> None:
    g = goldens("g_vos_stt")
    out = mask_labels(g["stt_circle30_p5.ref_seg_map"], (96, 128), 2, "reference")
    small = out.ids[out.labels.argmax(axis=1)].reshape(48, 64)
    parity(
        group="g",
        case="pil_nearest",
        value=np.count_nonzero(small != g["pil_nearest_48x64_of_ref"]),
        budget=0,
        unit="cells",
    )


def test_reference_loses_small_objects_and_numbers_channels_to_the_highest_left() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[8:24, 8:24] = 2
    mask[40, 40] = 5  # Pillow reads [1::2, 1::2] at exactly half size
    out = mask_labels(mask, (64, 64), 2, "reference")
    assert out.ids.tolist() == [0, 1, 2]
    assert out.labels.sum(axis=0).tolist() == [1024 - 64, 0, 64]


def test_corrected_reads_at_the_feature_position_and_keeps_sparse_ids() -> None:
    mask = np.random.default_rng(0).choice(np.array([0, 3, 77, 255], np.uint8), (33, 47))
    out = mask_labels(mask, (33, 47), 2)
    assert out.ids.tolist() == [0, 3, 77, 255]
    assert out.labels.dtype == np.float32
    assert out.labels.flags.c_contiguous
    np.testing.assert_array_equal(out.ids[out.labels.argmax(axis=1)].reshape(17, 24), mask[::2, ::2])


def test_corrected_reads_the_source_pixel_under_the_network_pixel() -> None:
    """Network pixel 2i of a frame shrunk by 3 is centred on source pixel 6i + 1."""
    mask = np.random.default_rng(1).integers(0, 4, (96, 192), dtype=np.uint8)
    out = mask_labels(mask, (32, 64), 2)
    np.testing.assert_array_equal(out.labels.argmax(axis=1).reshape(16, 32), mask[1::6, 1::6])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 40),
    stride=st.sampled_from([2, 4, 8]),
    hw=st.tuples(st.integers(32, 70), st.integers(32, 70)),
)
def test_every_object_keeps_a_cell(seed: int, count: int, stride: int, hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    cells = -(-hw[0] // stride) * -(-hw[1] // stride)
    mask = np.zeros((60, 80), np.uint8)
    ids = rng.choice(np.arange(1, 256), size=min(count, cells - 1), replace=False)
    mask.reshape(-1)[rng.choice(mask.size, size=len(ids), replace=False)] = ids
    out = mask_labels(mask, hw, stride)
    assert set(out.ids[1:].tolist()) == set(ids.tolist())
    assert (out.labels.sum(axis=1) == 1).all()
    assert (out.labels[:, 1:].sum(axis=0) >= 1).all()


def test_a_rescued_object_gets_the_nearest_cell() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[21, 33] = 9  # network pixel (x 33, y 21), stride 4: cell (5, 8)
    out = mask_labels(mask, (64, 64), 4)
    assert np.argwhere(out.labels[:, 1].reshape(16, 16)).tolist() == [[5, 8]]


def test_a_rescued_object_does_not_displace_another_tiny_one() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20, 32] = 4  # exactly on cell (5, 8)
    mask[21, 33] = 9
    out = mask_labels(mask, (64, 64), 4)
    cells = [np.argwhere(out.labels[:, k].reshape(16, 16)).tolist() for k in (1, 2)]
    assert cells[0] == [[5, 8]]
    assert cells[1] in ([[5, 9]], [[6, 8]])


def test_the_middle_of_a_ring_is_on_the_ring() -> None:
    mask = np.full((64, 64), 1, np.uint8)
    mask[31:34:2, 31:34] = 6
    mask[32, 31:34:2] = 6  # a ring around pixel (32, 32), which stride 8 reads: object 1 is met, 6 is not
    out = mask_labels(mask, (64, 64), 8)
    assert out.ids.tolist() == [0, 1, 6]
    assert out.labels.sum(axis=0).tolist() == [0, 63, 1]


def test_more_objects_than_cells_are_refused() -> None:
    with pytest.raises(InputError, match="70 objects but frames of 32x32 have only 64 feature cells"):
        mask_labels(_with_ids(*range(1, 71)), (32, 32), 4)


def test_harden_keeps_classes_that_lost_every_pixel() -> None:
    labels = np.array([[0.2, 0.5, 0.5], [0.9, 0.1, 0.0]], np.float32)
    assert harden(labels).tolist() == [[0, 1, 0], [1, 0, 0]]
