"""The alignment of the fine stage on pictures whose truth is known exactly, and what it must not believe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.fine.align import Pose, align
from fgvc_deploy.fine.patches import FULL, LIKE, REACH, SURE, TURN, FinePoints, believed, steady
from fgvc_deploy.fine.picture import Picture, picture_of, sample, to_full, to_half
from fgvc_deploy.fine.template import make_templates, normalised, pixels_of

HW = (96, 128)
TOLERANCE = 0.1
"""Pixels; issue 5 asks for sub-pixel places, and frames are rounded to 8 bits here as they are in videos."""
Floats = NDArray[np.float64]
UPRIGHT = np.eye(2)


class Texture:
    """A sum of waves: its value is known everywhere, so a moved picture is exact and never resampled."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        angle, length = rng.uniform(0, 2 * np.pi, 24), rng.uniform(5, 24, 24)
        self.wave = np.stack([np.cos(angle), np.sin(angle)]) * 2 * np.pi / length
        self.phase = rng.uniform(0, 2 * np.pi, (3, 24))

    def __call__(self, xy: Floats) -> Floats:
        """Values [.., 3] about 0..255 at positions [.., 2]."""
        waves = np.sin((xy @ self.wave)[..., None, :] + self.phase)
        values: Floats = 128 + 22 * waves.sum(axis=-1)
        return values

    def frame(self, warp: Floats = UPRIGHT, shift: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]: what was at p is at warp (p - middle) + middle + shift."""
        y, x = np.mgrid[: HW[0], : HW[1]]
        seen = np.stack([x, y], axis=-1).astype(np.float64)
        return np.rint(self(_back(seen, warp, shift))).clip(0, 255).astype(np.uint8)


MIDDLE = np.array([HW[1] - 1, HW[0] - 1]) / 2


def _back(xy: Floats, warp: Floats, shift: tuple[float, float]) -> Floats:
    back: Floats = (xy - MIDDLE - shift) @ np.linalg.inv(warp).T + MIDDLE
    return back


def _forth(xy: Floats, warp: Floats, shift: tuple[float, float]) -> Floats:
    forth: Floats = (xy - MIDDLE) @ warp.T + MIDDLE + shift
    return forth


def _points(count: int = 40, margin: float = 24.0, seed: int = 3) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.uniform([margin, margin], [HW[1] - margin, HW[0] - margin], (count, 2))


def _near(xy: Floats, error: float, seed: int = 4) -> NDArray[np.float32]:
    """What labels might say: the truth and an error of this length in any direction."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(xy))
    return (xy + error * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def _start(frame: NDArray[np.uint8], xy: Floats) -> FinePoints:
    return FinePoints.start(picture_of(frame), xy.astype(np.float32))


def _none(xy: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.zeros(len(xy), np.bool_)


def _worst(found: NDArray[np.float32], truth: Floats) -> float:
    return float(np.linalg.norm(found - truth, axis=1).max())


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -1.62), (4.5, 3.25), (-7.9, 0.1)], ids=str)
def test_translations_are_found_from_three_pixels_away(shift: tuple[float, float]) -> None:
    texture, xy = Texture(1), _points()
    fine = _start(texture.frame(), xy)
    truth = xy + shift
    fine.follow(picture_of(texture.frame(shift=shift)), _near(truth, 3.0), _none(xy))
    assert fine.refined.all()
    assert _worst(fine.xy, truth) < TOLERANCE


def test_turning_growing_and_shearing_are_followed() -> None:
    texture, xy = Texture(2), _points(margin=34)
    fine = _start(texture.frame(), xy)
    for t in range(1, 11):
        turn, grow = 0.04 * t, 1 + 0.025 * t
        warp = grow * np.array([[np.cos(turn), -np.sin(turn) + 0.01 * t], [np.sin(turn), np.cos(turn)]])
        shift = (0.8 * t, -0.45 * t)
        truth = _forth(xy, warp, shift)
        fine.follow(picture_of(texture.frame(warp, shift)), _near(truth, 2.0, seed=t), _none(xy))
        assert fine.refined.all()
        error = np.linalg.norm(fine.xy - truth, axis=1)
        # A point stops once its place is still, when its shape may not be quite; the worst of 40 shows that.
        assert np.quantile(error, 0.95) < TOLERANCE
        assert error.max() < 2 * TOLERANCE


def test_brightness_and_contrast_do_not_matter() -> None:
    texture, xy, shift = Texture(3), _points(), (1.4, 0.8)
    fine = _start(texture.frame(), xy)
    dim = np.rint(0.6 * texture.frame(shift=shift) + 40).astype(np.uint8)
    fine.follow(picture_of(dim), _near(xy + shift, 2.0), _none(xy))
    assert fine.refined.all()
    assert _worst(fine.xy, xy + shift) < TOLERANCE


def test_errors_do_not_add_up() -> None:
    """Every frame is compared with the query frame, so the hundredth is as good as the first."""
    texture, xy = Texture(4), _points(20)
    fine = _start(texture.frame(), xy)
    for t in range(1, 101):
        shift = (5 * np.sin(t / 7), 5 * np.cos(t / 9) - 5)
        fine.follow(picture_of(texture.frame(shift=shift)), _near(xy + shift, 1.5, seed=t), _none(xy))
    assert fine.refined.all()
    assert _worst(fine.xy, xy + shift) < TOLERANCE


def test_a_covered_point_stays_where_the_labels_say_and_comes_back() -> None:
    texture, other, xy = Texture(5), Texture(6), np.array([[64.3, 48.6]])
    fine = _start(texture.frame(), xy)
    coarse = np.array([[66.0, 47.0]], np.float32)
    covered = texture.frame()
    covered[20:76, 36:92] = other.frame()[20:76, 36:92]
    for _ in range(4):
        fine.follow(picture_of(covered), coarse, _none(xy))
        assert not fine.refined.any()
        np.testing.assert_array_equal(fine.xy, coarse)
    for _ in range(2):
        fine.follow(picture_of(texture.frame()), coarse, _none(xy))
    assert fine.refined.all()
    assert _worst(fine.xy, xy) < TOLERANCE


def test_a_lost_point_stays_where_it_was_last_seen() -> None:
    texture, xy = Texture(7), _points(4)
    fine = _start(texture.frame(), xy)
    fine.follow(picture_of(texture.frame(shift=(2.0, 1.0))), _near(xy + np.array([2.0, 1.0]), 1.0), _none(xy))
    seen = fine.xy.copy()
    lost = np.array([True, False, True, False])
    fine.follow(picture_of(texture.frame(shift=(4.0, 2.0))), _near(xy + np.array([4.0, 2.0]), 1.0), lost)
    np.testing.assert_array_equal(fine.xy[lost], seen[lost])
    np.testing.assert_array_equal(fine.refined, ~lost)
    fine.follow(
        picture_of(texture.frame(shift=(6.0, 3.0))), _near(xy + np.array([6.0, 3.0]), 1.0), np.ones(4, np.bool_)
    )
    assert not fine.refined.any()


def test_points_beside_the_border_are_refined() -> None:
    """A patch that is cut by the border on both frames holds repeated pixels; half of it is enough."""
    texture, shift = Texture(8), (0.6, 0.4)
    xy = np.array([[1.2, 48.0], [127.0, 30.5], [60.3, 0.0], [0.0, 95.0], [70.0, 94.2]])
    fine = _start(texture.frame(), xy)
    coarse = (xy + shift).clip(0, [HW[1] - 1, HW[0] - 1]).astype(np.float32)
    fine.follow(picture_of(texture.frame(shift=shift)), coarse, _none(xy))
    assert np.isfinite(fine.xy).all()
    # Where nothing is believed the labels' answer stays; what is believed is right to a pixel, although up to
    # three quarters of the patch are border pixels repeated.
    np.testing.assert_array_equal(fine.xy[~fine.refined], coarse[~fine.refined])
    assert _worst(fine.xy, xy + shift) < 1.0


def test_a_point_that_leaves_the_image_is_not_followed_out_of_it() -> None:
    texture, xy = Texture(9), np.array([[20.0, 48.0]])
    fine = _start(texture.frame(), xy)
    for t in range(1, 8):
        truth = xy - (5.0 * t, 0.0)
        coarse = truth.clip(0, None).astype(np.float32)
        fine.follow(picture_of(texture.frame(shift=(-5.0 * t, 0.0))), coarse, _none(xy))
        assert (fine.xy >= -0.5).all()
    assert not fine.refined.any()
    np.testing.assert_array_equal(fine.xy, coarse)


def test_a_place_further_than_the_reach_is_not_believed() -> None:
    texture, xy, shift = Texture(10), _points(6), (3.0, 0.0)
    fine = _start(texture.frame(), xy)
    fine.follow(picture_of(texture.frame(shift=shift)), _near(xy + shift, 1.0), _none(xy))
    assert fine.refined.all()
    # The last offset leads back to the truth from anywhere, and the labels are now this far from it.
    far = (xy + shift + (REACH + 2.0, 0.0)).astype(np.float32)
    fine.follow(picture_of(texture.frame(shift=shift)), far, _none(xy))
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
    frame, xy = np.full((*HW, 3), level, np.uint8), _points(5)
    fine = _start(frame, xy)
    coarse = _near(xy, 1.0)
    fine.follow(picture_of(frame), coarse, _none(xy))
    assert not fine.refined.any()
    np.testing.assert_array_equal(fine.xy, coarse)


def test_noise_is_not_mistaken_for_the_patch() -> None:
    rng = np.random.default_rng(0)
    xy = _points(200, margin=5)
    fine = _start(rng.integers(0, 256, (*HW, 3), np.uint8), xy)
    coarse = _near(xy, 1.0)
    fine.follow(picture_of(rng.integers(0, 256, (*HW, 3), np.uint8)), coarse, _none(xy))
    assert not fine.refined.any()


def test_dropped_points_leave_the_others_alone() -> None:
    texture, xy = Texture(11), _points(9)
    rows = np.arange(9) % 3 != 1
    some, alone = _start(texture.frame(), xy), _start(texture.frame(), xy[rows])
    first, second = (picture_of(texture.frame(shift=(s, 0.5))) for s in (1.0, 2.0))
    some.follow(first, _near(xy, 1.0), _none(xy))
    alone.follow(first, _near(xy, 1.0)[rows], _none(xy[rows]))
    some.keep(rows)
    for fine in (some, alone):
        fine.follow(second, _near(xy, 2.0)[rows], _none(xy[rows]))
    # Batched products may sum in another order for another number of points.
    np.testing.assert_allclose(some.xy, alone.xy, atol=1e-3)
    np.testing.assert_array_equal(some.refined, alone.refined)


def test_without_points_or_picture_nothing_happens() -> None:
    texture = Texture(12)
    fine = _start(texture.frame(), np.zeros((0, 2)))
    fine.follow(picture_of(texture.frame()), np.zeros((0, 2), np.float32), np.zeros(0, np.bool_))
    assert fine.xy.shape == (0, 2)
    one = _start(texture.frame(), np.array([[40.0, 40.0]]))
    one.follow(None, np.array([[41.0, 40.0]], np.float32), np.zeros(1, np.bool_))
    np.testing.assert_array_equal(one.xy, [[41.0, 40.0]])
    assert not one.refined.any()


def test_the_step_is_the_one_of_a_plain_gauss_newton() -> None:
    """One iteration by the normal equations, pixel by pixel in float64: what `make_templates` folds into a matrix."""
    plane = picture_of(Texture(13).frame()).full
    centre, start = np.array([[60.0, 44.0]], np.float32), np.array([[61.5, 43.0]], np.float32)
    templates = make_templates(plane, centre, FULL._replace(affine=False))
    pose, likeness = align(templates, plane, Pose(start, np.eye(2, dtype=np.float32)[None]), 1)

    (u, v), root = (part.astype(np.float64) for part in pixels_of(FULL))
    weight = root**2

    def values(x: Floats, y: Floats) -> Floats:
        seen: Floats = sample(plane, x.astype(np.float32)[None], y.astype(np.float32)[None])[0].astype(np.float64)
        return seen

    def unit(patch: Floats) -> Floats:
        centred = (patch - weight @ patch) * root
        length: Floats = centred / np.linalg.norm(centred)
        return length

    template = values(60 + u, 44 + v)
    contrast = np.linalg.norm((template - weight @ template) * root)
    slopes = []
    for ahead, behind in (
        (values(61 + u, 44 + v), values(59 + u, 44 + v)),
        (values(60 + u, 45 + v), values(60 + u, 43 + v)),
    ):
        slope = (ahead - behind) / 2
        slope = (slope - weight @ slope) * root / contrast
        slopes.append(slope - (slope @ unit(template)) * unit(template))
    seen = unit(values(61.5 + u, 43 + v))
    jacobian = np.stack(slopes, axis=1)
    step = np.linalg.solve(jacobian.T @ jacobian + 1e-4 * np.eye(2), jacobian.T @ seen)
    # float32 sums over 189 pixels
    np.testing.assert_allclose(pose.xy[0], start[0] - step, atol=1e-3)
    assert likeness[0] == pytest.approx(seen @ unit(template), abs=1e-5)


def test_gain_and_offset_fall_out_of_a_patch() -> None:
    root = pixels_of(FULL).root
    patch = np.random.default_rng(1).normal(size=(3, len(root))).astype(np.float32)
    unit, _ = normalised(patch, root)
    np.testing.assert_allclose(normalised(3 * patch + 7, root)[0], unit, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    assert normalised(np.full_like(patch, 9), root)[0].max() < 1e-3


@pytest.mark.parametrize("hw", [(32, 32), (33, 47)])
def test_both_planes_show_the_same_place(hw: tuple[int, int]) -> None:
    y, x = np.mgrid[: hw[0], : hw[1]]
    ramp = np.repeat((2 * x + 3 * y)[..., None], 3, axis=-1).astype(np.uint8)
    picture: Picture = picture_of(ramp)
    xy = np.array([[10.0, 8.0], [7.5, 12.25]], np.float32)
    half = to_half(xy)
    np.testing.assert_allclose(to_full(half), xy, atol=1e-6)
    full_values = sample(picture.full, xy[:, 0], xy[:, 1])
    np.testing.assert_allclose(sample(picture.half, half[:, 0], half[:, 1]), full_values, atol=1e-3)
    np.testing.assert_allclose(full_values, 2 * xy[:, 0] + 3 * xy[:, 1], atol=1e-3)
