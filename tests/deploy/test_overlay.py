"""Overlays of points: marks are where the points are, in their colours; the rest of the frame is untouched."""

from __future__ import annotations

import colorsys
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.overlay import PointOverlay, tiles
from fgvc_deploy.overlay.colours import colour_of_late_point, rainbow

Frame = NDArray[np.uint8]
SIZES = [(64, 96), (256, 256), (480, 854), (720, 1280), (75, 101)]


def grey(hw: tuple[int, int]) -> Frame:
    return np.random.default_rng(0).integers(90, 110, (*hw, 3), dtype=np.uint8)


def centroid(before: Frame, after: Frame) -> NDArray[np.float64]:
    """Mean (x, y) of the pixels that changed, weighted by how much."""
    weight = np.abs(after.astype(float) - before).sum(axis=2)
    y, x = np.indices(weight.shape)
    return np.array([np.average(x, weights=weight), np.average(y, weights=weight)])


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.3, 0.7)])
def test_a_mark_is_centred_on_its_point(hw: tuple[int, int], seen: bool, offset: tuple[float, float]) -> None:
    frame = np.full((*hw, 3), 128, np.uint8)
    xy = np.array([[hw[1] // 2 + offset[0], hw[0] // 2 + offset[1]]])
    drawn = PointOverlay(xy).draw(frame, xy, np.array([seen]))
    assert np.abs(centroid(frame, drawn) - xy[0]).max() < 0.1


@pytest.mark.parametrize("hw", SIZES)
def test_dot_is_filled_and_ring_is_hollow(hw: tuple[int, int]) -> None:
    frame = np.full((*hw, 3), 128, np.uint8)
    xy = np.array([[20.0, 30.0]])
    overlay = PointOverlay(xy)
    dot = overlay.draw(frame, xy, np.array([True]))
    ring = overlay.draw(frame, xy, np.array([False]))
    np.testing.assert_array_equal(dot[30, 20], rainbow(xy)[0])
    radius = int(np.flatnonzero((ring[30] != 128).any(axis=1)).max()) - 20
    assert 2 <= radius <= 0.02 * min(hw) + 3
    if min(hw) >= 256:
        np.testing.assert_array_equal(ring[30, 20], frame[30, 20])


def test_pixels_without_a_mark_keep_their_value() -> None:
    frame = grey((120, 160))
    before = frame.copy()
    xy = np.array([[40.0, 60.0], [120.0, 20.0]])
    drawn = PointOverlay(xy).draw(frame, xy, np.ones(2, bool))
    np.testing.assert_array_equal(frame, before)
    y, x = np.indices(frame.shape[:2])
    far = np.min([np.hypot(x - px, y - py) for px, py in xy], axis=0) > 6
    np.testing.assert_array_equal(drawn[far], frame[far])
    assert drawn.shape == frame.shape
    assert drawn.dtype == np.uint8
    assert drawn.flags.writeable


@pytest.mark.parametrize(("hw", "tolerance"), [((64, 96), 0.05), ((480, 854), 0.05), ((720, 1280), 0.3)])
def test_trail_lies_where_the_point_went(hw: tuple[int, int], tolerance: float) -> None:
    frame = np.zeros((*hw, 3), np.uint8)
    overlay = PointOverlay(np.array([[10.0, 30.0]]))
    for x in (10.0, 80.0):
        drawn = overlay.draw(frame, np.array([[x, 30.0]]), np.array([True]))
    # Between the marks there is only the trail.
    assert abs(centroid(frame[:, 30:60], drawn[:, 30:60])[1] - 30) <= tolerance


def test_trail_fades_with_age_and_ends() -> None:
    frame = np.zeros((64, 256, 3), np.uint8)
    overlay = PointOverlay(np.array([[4.0, 32.0]]), trail=8)
    for step in range(25):
        drawn = overlay.draw(frame, np.array([[4.0 + 10 * step, 32.0]]), np.array([True]))
    brightness = drawn.max(axis=(0, 2)).astype(int)
    now = 4 + 10 * 24
    assert not brightness[: now - 82].any()
    steps = [brightness[now - 10 * age + 3] for age in range(1, 9)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 180 > 60 > steps[-1] > 0


@pytest.mark.parametrize("hw", [(300, 500), (720, 1280)])
def test_tiles_are_not_seen(hw: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Trails and marks across the borders of tiles are those of one tile as large as the frame."""
    rng = np.random.default_rng(5)
    steps = rng.uniform(-10, 1.05, (6, 40, 2)) * hw[::-1]
    steps[:, :30] = steps[:1, :30] % hw[::-1] + 7.3 * np.arange(6)[:, None, None]
    drawn = []
    for size in (tiles.TILE, max(hw)):
        monkeypatch.setattr(tiles, "TILE", size)
        overlay = PointOverlay(steps[0])
        for xy in steps:
            picture = overlay.draw(grey(hw), xy, xy[:, 0] % 2 < 1)
        drawn.append(picture.astype(int))
    assert (drawn[0] != grey(hw)).any()
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_no_trail_when_none_is_wanted_and_gap_where_there_was_no_position() -> None:
    frame = np.zeros((64, 128, 3), np.uint8)
    for trail, positions, expect in (
        (0, (20.0, 60.0), False),
        (9, (20.0, 60.0), True),
        (9, (20.0, np.nan, 60.0), False),
    ):
        overlay = PointOverlay(np.array([[20.0, 32.0]]), trail=trail)
        for x in positions:
            drawn = overlay.draw(frame, np.array([[x, 32.0]]), np.array([True]))
        assert drawn[32, 40].any() == expect
    with pytest.raises(ValueError, match="negative"):
        PointOverlay(trail=-1)


def test_hidden_trail_is_fainter() -> None:
    frame = np.zeros((64, 128, 3), np.uint8)
    peak = []
    for seen in (True, False):
        overlay = PointOverlay(np.array([[20.0, 32.0]]))
        for x in (20.0, 80.0):
            drawn = overlay.draw(frame, np.array([[x, 32.0]]), np.array([seen]))
        peak.append(int(drawn[28:37, 50].max()))
    assert 0 < peak[1] < 0.6 * peak[0]


def test_rainbow_goes_by_y_then_x_and_gives_each_point_its_own_colour() -> None:
    y, x = np.meshgrid(np.arange(8) * 20.0, np.arange(8) * 20.0, indexing="ij")
    xy = np.stack([x.ravel(), y.ravel()], axis=1)
    order = np.random.default_rng(0).permutation(64)
    colours = np.array(rainbow(xy[order]))[np.argsort(order)]
    assert len({tuple(colour) for colour in colours}) == 64
    hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in colours / 255]
    # Eight bits a channel leave the hue exact to about 1/1500.
    assert min(np.diff(hues)) > 0
    assert rainbow(np.zeros((1, 2))) == [(255, 0, 0)]
    assert rainbow(np.zeros((0, 2))) == []


def test_points_come_and_go_and_keep_their_colours() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    xy = np.array([[20.0, 20.0], [50.0, 50.0], [80.0, 80.0]])
    overlay = PointOverlay(xy[:2], trail=3)
    overlay.draw(frame, xy[:2], np.ones(2, bool))
    drawn = overlay.draw(frame, xy[[2, 1]], np.ones(2, bool), ids=[7, 1])
    np.testing.assert_array_equal(drawn[50, 50], rainbow(xy[:2])[1])
    np.testing.assert_array_equal(drawn[80, 80], colour_of_late_point(7))
    assert not drawn[20, 20].any()


def test_points_outside_the_frame_are_harmless() -> None:
    frame = grey((64, 96))
    xy = np.array([[-500.0, 10.0], [1e6, 1e6], [np.nan, 3.0], [np.inf, 0.0], [-0.5, -0.5]])
    overlay = PointOverlay(xy)
    for shift in (0.0, 5.0):
        drawn = overlay.draw(frame, xy + shift, np.ones(5, bool))
    assert drawn.shape == frame.shape


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    frame, rng = grey((64, 96)), np.random.default_rng(0)
    overlay = PointOverlay(trail=6)

    def size() -> int:
        return sum(sys.getsizeof(item) + sum(map(sys.getsizeof, item.values())) for item in overlay._past)

    for _ in range(20):
        overlay.draw(frame, rng.random((30, 2)) * 60, np.ones(30, bool))
    before = size()
    for _ in range(60):
        overlay.draw(frame, rng.random((30, 2)) * 60, np.ones(30, bool))
    assert size() == before
