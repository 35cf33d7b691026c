"""The alignment of the fine stage on pictures whose truth is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from fgvc_deploy.fine.align import Pose, align
from fgvc_deploy.fine.patches import FULL
from fgvc_deploy.fine.picture import Picture, picture_of, sample, to_full, to_half
from fgvc_deploy.fine.template import make_templates, normalised, pixels_of
from fine_texture import (
    TOLERANCE,
    Floats,
    Texture,
    forth,
    near,
    none,
    points,
    start,
    worst,
)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -1.62), (4.5, 3.25), (-7.9, 0.1)], ids=str)
def test_translations_are_found_from_three_pixels_away(shift: tuple[float, float]) -> None:
    texture, xy = Texture(1), points()
    fine = start(texture.frame(), xy)
    truth = xy + shift
    fine.follow(picture_of(texture.frame(shift=shift)), near(truth, 3.0), none(xy))
    assert fine.refined.all()
    assert worst(fine.xy, truth) < TOLERANCE


def test_turning_growing_and_shearing_are_followed() -> None:
    texture, xy = Texture(2), points(margin=34)
    fine = start(texture.frame(), xy)
    for t in range(1, 11):
        turn, grow = 0.04 * t, 1 + 0.025 * t
        warp = grow * np.array([[np.cos(turn), -np.sin(turn) + 0.01 * t], [np.sin(turn), np.cos(turn)]])
        shift = (0.8 * t, -0.45 * t)
        truth = forth(xy, warp, shift)
        fine.follow(picture_of(texture.frame(warp, shift)), near(truth, 2.0, seed=t), none(xy))
        assert fine.refined.all()
        error = np.linalg.norm(fine.xy - truth, axis=1)
        # A point stops once its place is still, when its shape may not be quite; the worst of 40 shows that.
        assert np.quantile(error, 0.95) < TOLERANCE
        assert error.max() < 2 * TOLERANCE


def test_brightness_and_contrast_do_not_matter() -> None:
    texture, xy, shift = Texture(3), points(), (1.4, 0.8)
    fine = start(texture.frame(), xy)
    dim = np.rint(0.6 * texture.frame(shift=shift) + 40).astype(np.uint8)
    fine.follow(picture_of(dim), near(xy + shift, 2.0), none(xy))
    assert fine.refined.all()
    assert worst(fine.xy, xy + shift) < TOLERANCE


def test_errors_do_not_add_up() -> None:
    """Every frame is compared with the query frame, so the hundredth is as good as the first."""
    texture, xy = Texture(4), points(20)
    fine = start(texture.frame(), xy)
    for t in range(1, 101):
        shift = (5 * np.sin(t / 7), 5 * np.cos(t / 9) - 5)
        fine.follow(picture_of(texture.frame(shift=shift)), near(xy + shift, 1.5, seed=t), none(xy))
    assert fine.refined.all()
    assert worst(fine.xy, xy + shift) < TOLERANCE


def test_an_offset_that_was_believed_is_where_the_next_frame_starts() -> None:
    """Labels drift ten pixels away in five frames: too far to be found from there at once, but not step by step."""
    texture, xy = Texture(14), points()
    fine, sudden = start(texture.frame(), xy), start(texture.frame(), xy)
    for error in (2.0, 4.0, 6.0, 8.0, 10.0):
        fine.follow(picture_of(texture.frame()), near(xy, error), none(xy))
    assert fine.refined.all()
    assert worst(fine.xy, xy) < TOLERANCE
    sudden.follow(picture_of(texture.frame()), near(xy, 10.0), none(xy))
    assert not sudden.refined.all()


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
