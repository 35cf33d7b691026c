"""What the fine stage must not believe, and what stays as it was: covered, lost and leaving points, borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fgvc_deploy.fine import patches
from fgvc_deploy.fine.align import Pose
from fgvc_deploy.fine.patches import LIKE, REACH, SURE, TURN, believed, steady
from fgvc_deploy.fine.picture import picture_of
from fine_texture import (
    HW,
    TOLERANCE,
    UPRIGHT,
    Texture,
    forth,
    near,
    none,
    points,
    start,
    worst,
)


def test_a_spoilt_start_is_forgotten_after_one_frame() -> None:
    texture, xy = Texture(15), points()
    fine = start(texture.frame(), xy)
    fine._offset += 9.0
    fine._warp = np.tile(np.array([[0.0, -1.5], [1.5, 0.0]], np.float32), (len(xy), 1, 1))
    for _ in range(2):
        before = fine.refined
        fine.follow(picture_of(texture.frame()), near(xy, 1.0), none(xy))
    assert not before.any()
    assert fine.refined.all()
    assert worst(fine.xy, xy) < TOLERANCE


def test_the_rule_of_shapes_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    texture, xy = Texture(16), points(margin=34)
    grown = picture_of(texture.frame(1.2 * UPRIGHT))
    truth = forth(xy, 1.2 * UPRIGHT, (0.0, 0.0))
    share = {}
    for sure in (SURE, 1.1):
        monkeypatch.setattr(patches, "SURE", sure)
        fine = start(texture.frame(), xy)
        fine.follow(grown, near(truth, 1.0), none(xy))
        share[sure] = fine.refined.mean()
    # Growing by a fifth is .28 from the shape before; after six steps a few points have not grown that much.
    assert share[SURE] == 1
    assert share[1.1] < 0.2


def test_a_covered_point_stays_where_the_labels_say_and_comes_back() -> None:
    texture, other, xy = Texture(5), Texture(6), np.array([[64.3, 48.6]])
    fine = start(texture.frame(), xy)
    coarse = np.array([[66.0, 47.0]], np.float32)
    covered = texture.frame()
    covered[20:76, 36:92] = other.frame()[20:76, 36:92]
    for _ in range(4):
        fine.follow(picture_of(covered), coarse, none(xy))
        assert not fine.refined.any()
        np.testing.assert_array_equal(fine.xy, coarse)
    for _ in range(2):
        fine.follow(picture_of(texture.frame()), coarse, none(xy))
    assert fine.refined.all()
    assert worst(fine.xy, xy) < TOLERANCE


def test_a_lost_point_stays_where_it_was_last_seen() -> None:
    texture, xy = Texture(7), points(4)
    fine = start(texture.frame(), xy)
    fine.follow(picture_of(texture.frame(shift=(2.0, 1.0))), near(xy + np.array([2.0, 1.0]), 1.0), none(xy))
    seen = fine.xy.copy()
    lost = np.array([True, False, True, False])
    fine.follow(picture_of(texture.frame(shift=(4.0, 2.0))), near(xy + np.array([4.0, 2.0]), 1.0), lost)
    np.testing.assert_array_equal(fine.xy[lost], seen[lost])
    np.testing.assert_array_equal(fine.refined, ~lost)
    fine.follow(
        picture_of(texture.frame(shift=(6.0, 3.0))), near(xy + np.array([6.0, 3.0]), 1.0), np.ones(4, np.bool_)
    )
    assert not fine.refined.any()


def test_points_beside_the_border_are_refined() -> None:
    """A patch that is cut by the border on both frames holds repeated pixels; half of it is enough."""
    texture, shift = Texture(8), (0.6, 0.4)
    xy = np.array([[1.2, 48.0], [127.0, 30.5], [60.3, 0.0], [0.0, 95.0], [70.0, 94.2]])
    fine = start(texture.frame(), xy)
    coarse = (xy + shift).clip(0, [HW[1] - 1, HW[0] - 1]).astype(np.float32)
    fine.follow(picture_of(texture.frame(shift=shift)), coarse, none(xy))
    assert np.isfinite(fine.xy).all()
    # Up to three quarters of a patch are border pixels repeated, so a pixel is what can be asked of those believed.
    np.testing.assert_array_equal(fine.xy[~fine.refined], coarse[~fine.refined])
    assert worst(fine.xy, xy + shift) < 1.0


def test_a_point_that_leaves_the_image_is_not_followed_out_of_it() -> None:
    texture, xy = Texture(9), np.array([[20.0, 48.0]])
    fine = start(texture.frame(), xy)
    for t in range(1, 8):
        truth = xy - (5.0 * t, 0.0)
        coarse = truth.clip(0, None).astype(np.float32)
        fine.follow(picture_of(texture.frame(shift=(-5.0 * t, 0.0))), coarse, none(xy))
        assert (fine.xy >= -0.5).all()
    assert not fine.refined.any()
    np.testing.assert_array_equal(fine.xy, coarse)


def test_a_place_further_than_the_reach_is_not_believed() -> None:
    texture, xy, shift = Texture(10), points(6), (3.0, 0.0)
    fine = start(texture.frame(), xy)
    fine.follow(picture_of(texture.frame(shift=shift)), near(xy + shift, 1.0), none(xy))
    assert fine.refined.all()
    # The last offset leads back to the truth from anywhere, and the labels are now this far from it.
    far = (xy + shift + (REACH + 2.0, 0.0)).astype(np.float32)
    fine.follow(picture_of(texture.frame(shift=shift)), far, none(xy))
    np.testing.assert_array_equal(fine.xy[~fine.refined], far[~fine.refined])
    assert (np.linalg.norm(fine.xy - far, axis=1) <= REACH).all()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"likeness": LIKE - 0.01}, False),
        ({"likeness": LIKE + 0.01}, True),
        ({"offset": (REACH + 0.1, 0.0)}, False),
        ({"offset": (0.0, -REACH + 0.1)}, True),
        ({"xy": (-0.6, 40.0)}, False),
        ({"xy": (0.0, 40.0)}, True),
        ({"xy": (127.6, 40.0)}, False),
        ({"xy": (60.0, 95.6)}, False),
        # The query lay four pixels from its template's centre; most of the patch is beyond the frame.
        ({"xy": (1.0, 40.0), "centre": (-4.0, 40.0)}, False),
        ({"warp": 1.9 * UPRIGHT}, True),
        ({"warp": 2.1 * UPRIGHT}, False),
        ({"warp": 0.45 * UPRIGHT}, False),
        ({"warp": -UPRIGHT @ np.diag([1.0, -1.0])}, False),
    ],
)
def test_each_rule_refuses_by_itself(changed: dict[str, Any], expected: bool) -> None:
    case: dict[str, Any] = {"xy": (60.0, 40.0), "warp": UPRIGHT, "likeness": 0.95, "offset": (1.0, 1.0)} | changed
    xy, centre = (np.array([case.get(key, case["xy"])], np.float32) for key in ("xy", "centre"))
    pose = Pose(centre, case["warp"].astype(np.float32)[None])
    likeness, offset = np.array([case["likeness"]], np.float32), np.array([case["offset"]], np.float32)
    assert believed(pose, likeness, xy, offset, HW).tolist() == [expected]


def test_a_sudden_change_of_shape_needs_a_clear_likeness() -> None:
    before = np.tile(np.eye(2, dtype=np.float32), (4, 1, 1))
    grown = before + np.array([0.1, 0.9, 1.1, 1.1], np.float32)[:, None, None] * TURN / np.sqrt(2) * before
    likeness = np.array([LIKE, LIKE, LIKE, SURE], np.float32)
    assert steady(grown, before, likeness).tolist() == [True, True, False, True]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_patch_is_never_refined(level: int) -> None:
    frame, xy = np.full((*HW, 3), level, np.uint8), points(5)
    fine = start(frame, xy)
    coarse = near(xy, 1.0)
    fine.follow(picture_of(frame), coarse, none(xy))
    assert not fine.refined.any()
    np.testing.assert_array_equal(fine.xy, coarse)


def test_noise_is_not_mistaken_for_the_patch() -> None:
    rng = np.random.default_rng(0)
    xy = points(200, margin=5)
    fine = start(rng.integers(0, 256, (*HW, 3), np.uint8), xy)
    coarse = near(xy, 1.0)
    fine.follow(picture_of(rng.integers(0, 256, (*HW, 3), np.uint8)), coarse, none(xy))
    assert not fine.refined.any()


def test_dropped_points_leave_the_others_alone() -> None:
    texture, xy = Texture(11), points(9)
    rows = np.arange(9) % 3 != 1
    some, alone = start(texture.frame(), xy), start(texture.frame(), xy[rows])
    first, second = (picture_of(texture.frame(shift=(s, 0.5))) for s in (1.0, 2.0))
    some.follow(first, near(xy, 1.0), none(xy))
    alone.follow(first, near(xy, 1.0)[rows], none(xy[rows]))
    some.keep(rows)
    for fine in (some, alone):
        fine.follow(second, near(xy, 2.0)[rows], none(xy[rows]))
    # Batched products may sum in another order for another number of points.
    np.testing.assert_allclose(some.xy, alone.xy, atol=1e-3)
    np.testing.assert_array_equal(some.refined, alone.refined)


def test_without_points_or_picture_nothing_happens() -> None:
    texture = Texture(12)
    fine, no_points = start(texture.frame(), np.zeros((0, 2))), np.zeros((0, 2), np.float32)
    fine.follow(picture_of(texture.frame()), no_points, none(no_points))
    assert fine.xy.shape == (0, 2)
    one = start(texture.frame(), np.array([[40.0, 40.0]]))
    one.follow(None, np.array([[41.0, 40.0]], np.float32), np.zeros(1, np.bool_))
    assert (one.xy.tolist(), one.refined.tolist()) == ([[41.0, 40.0]], [False])
