"""PCK of JHMDB and BADJA: goldens i under `reference`, then small cases with answers counted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_benchmarks.metrics.badja import ALPHAS, EVAL_HW, BadjaSequence, badja_pck, mask_area_at
from fgvc_benchmarks.metrics.jhmdb import JhmdbVideo, jhmdb_pck

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]


def test_jhmdb_matches(goldens: Goldens, parity: Parity) -> None:
    i = goldens("i_metrics")
    videos = [
        JhmdbVideo(
            i[f"jhmdb.v{v}.pred_xy"].transpose(1, 2, 0), i[f"jhmdb.v{v}.gt_pos_img_1based"].transpose(1, 2, 0) - 1
        )
        for v in range(3)
    ]
    for name, value in jhmdb_pck(videos, reference=True).items():
        # Quotients of counts, averaged over 15 joints.
        parity(group="i", case=f"jhmdb.{name}", value=abs(value - float(i[f"jhmdb.{name}"])), budget=1e-12, unit="%")


def badja_golden(i: Mapping[str, NDArray[Any]], v: int) -> BadjaSequence:
    masks = i[f"badja.v{v}.segs"]
    scale_xy = np.array(EVAL_HW[::-1]) / np.array(masks.shape[:0:-1])
    return BadjaSequence(
        predicted=i[f"badja.v{v}.pred_xy"].transpose(1, 2, 0),
        truth=(i[f"badja.v{v}.joints_yx"][..., ::-1] * scale_xy).transpose(1, 0, 2),
        visible=i[f"badja.v{v}.visible"].T > 0,
        mask_area=np.array([mask_area_at(mask) for mask in masks]),
    )


def test_badja_matches(goldens: Goldens, parity: Parity) -> None:
    i = goldens("i_metrics")
    assert tuple(i["badja.eval_size_hw"]) == EVAL_HW
    sequences = {f"v{v}": badja_golden(i, v) for v in range(2)}
    for alpha in ALPHAS:
        error = abs(badja_pck(sequences, alpha, reference=True).average - float(i[f"badja.PCK@{alpha}"]))
        parity(group="i", case=f"badja.PCK@{alpha}", value=error, budget=1e-12, unit="%")


def square_person(frames: int) -> NDArray[np.float64]:
    """Four joints on a square of side 30 (diagonal 42.4, norm 25.5), and eleven on its corner."""
    corners = np.array([[10, 10], [40, 10], [10, 40], [40, 40]] + [[10, 10]] * 11, float)
    return np.repeat(corners[:, None], frames, axis=1)


def test_jhmdb_counts_lost_joints_and_not_the_given_frame() -> None:
    truth = square_person(3)
    predicted = truth.copy()
    predicted[0, 1] = -1  # lost
    predicted[1, 2] += 2.6  # 3.68 px = 0.144 of the norm
    predicted[2, 0] += 50  # the given frame
    corrected = jhmdb_pck([JhmdbVideo(predicted, truth)])
    assert corrected["PCK@0.1"] == pytest.approx(100 * (13 + 0.5 + 0.5) / 15)
    assert corrected["PCK@0.2"] == pytest.approx(100 * (14 + 0.5) / 15)
    published = jhmdb_pck([JhmdbVideo(predicted, truth)], reference=True)
    assert published["PCK@0.2"] == pytest.approx(100 * (14 + 2 / 3) / 15)


def test_jhmdb_needs_every_annotated_frame_and_ignores_the_rest() -> None:
    truth = square_person(3)
    longer = square_person(5)
    longer[:, 3:] = np.nan
    assert jhmdb_pck([JhmdbVideo(longer, truth)])["PCK@0.1"] == 100.0
    with pytest.raises(ValueError, match="every annotated frame"):
        jhmdb_pck([JhmdbVideo(square_person(2), truth)])


def test_badja_protocols_differ_as_documented() -> None:
    """Two joints over three frames, area 100: threshold 2 px at alpha 0.2."""
    truth = np.zeros((2, 3, 2))
    predicted = np.array([[[0, 0], [1.9, 0], [2.0, 0]], [[5, 0], [0, 0], [5, 0]]], float)
    visible = np.array([[True, True, True], [False, True, False]])
    short = BadjaSequence(predicted, truth, visible, np.full(3, 100))
    long = BadjaSequence(np.zeros((1, 9, 2)), np.zeros((1, 9, 2)), np.ones((1, 9), bool), np.full(9, 100))
    score = badja_pck({"short": short, "long": long})
    assert score.sequences == {"short": 50.0, "long": 100.0}  # the hidden joint and frame 0 do not count
    assert score.average == 75.0
    published = badja_pck({"short": short, "long": long}, reference=True)
    assert published.sequences["short"] == 75.0  # right: given, 1.9 px, the joint first seen later; wrong: 2.0 px
    assert published.average == pytest.approx(100 * (3 + 9) / (4 + 9))


def test_badja_without_a_countable_joint_is_nan() -> None:
    nothing = BadjaSequence(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), np.zeros((1, 2), bool), np.ones(2))
    assert np.isnan(badja_pck({"nothing": nothing}).average)


@pytest.mark.parametrize("size_hw", [(320, 512), (37, 61), (120, 200)])
def test_mask_area_resizes_like_opencv(size_hw: tuple[int, int]) -> None:
    mask = (np.random.default_rng(1).random((120, 200)) > 0.6).astype(np.uint8) * 255
    resized = cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_NEAREST)
    assert mask_area_at(mask, size_hw) == int((resized > 0).sum())
