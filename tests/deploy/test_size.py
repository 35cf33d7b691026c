"""Requested sizes, resolved sizes, and the two pixel mappings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvc_deploy.errors import InputError
from fgvc_deploy.preprocess import DEFAULT_SIZE, PixelMap, SizeSpec, parse_size, resolve_size
from fgvc_deploy.settings import Compat

hw = st.tuples(st.integers(32, 4000), st.integers(32, 4000))


@pytest.mark.parametrize(
    ("asked", "source", "expected"),
    [
        ("480x854", (720, 1280), (480, 854)),
        ((33, 47), (720, 1280), (33, 47)),
        ("short:256", (720, 1280), (256, 455)),
        ("short:256", (1280, 720), (455, 256)),
        ("short:256", (256, 256), (256, 256)),
        ("short:256", (64, 65), (256, 260)),
        ("short:33", (66, 67), (33, 34)),
        ("native", (75, 101), (75, 101)),
        (None, (480, 854), (256, 455)),
        (SizeSpec("short", 128, 128), (480, 854), (128, 228)),
    ],
)
def test_sizes(asked: str | tuple[int, int] | None, source: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resolve_size(parse_size(asked), source) == expected


def test_none_takes_the_default_given() -> None:
    assert parse_size(None) == DEFAULT_SIZE
    assert parse_size(None, SizeSpec("native")) == SizeSpec("native")


@pytest.mark.parametrize(
    "text", ["", "256", "256x", "x256", "short:", "short:-1", "0.5x2", "Native", "256X256", "1e3x9"]
)
def test_unreadable_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not understood: write HEIGHTxWIDTH"):
        parse_size(text)


@pytest.mark.parametrize("asked", ["31x256", "256x31", "short:31", (0, 256), (-5, 256)])
def test_small_sizes_are_refused(asked: str | tuple[int, int]) -> None:
    with pytest.raises(InputError, match="too small: every side must be at least 32"):
        parse_size(asked)


def test_frames_that_stay_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="frames of 20x400 give a network size of 20x400"):
        resolve_size(SizeSpec("native"), (20, 400))


@given(source=hw, short=st.integers(32, 1024))
def test_short_keeps_short_side_exact_and_aspect_within_half_a_pixel(source: tuple[int, int], short: int) -> None:
    out = resolve_size(SizeSpec("short", short, short), source)
    assert min(out) == short
    assert abs(max(out) - short * max(source) / min(source)) <= 0.5


@pytest.mark.parametrize("compat", ["corrected", "reference"])
@given(source=hw, network=hw, x=st.floats(-1, 4000), y=st.floats(-1, 4000))
def test_maps_are_inverse(
    compat: Compat, source: tuple[int, int], network: tuple[int, int], x: float, y: float
) -> None:
    pixel_map = PixelMap(source, network, compat)
    back = pixel_map.to_source(pixel_map.to_network(np.array([[x, y]], dtype=np.float64)))
    np.testing.assert_allclose(back, [[x, y]], rtol=0, atol=1e-9)


def test_corrected_map_is_where_the_resize_puts_a_pixel() -> None:
    """The centre of mass of a blurred dot moves by the corrected map; the reference's differs by (ratio - 1) / 2."""
    source, network, at = (120, 200), (60, 50), np.array([83.0, 47.0])
    y, x = np.mgrid[:120, :200]
    dot = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 12.0**2))
    small = cv2.resize(dot, network[::-1], interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[:60, :50]
    centre = np.array([(small * x).sum(), (small * y).sum()]) / small.sum()
    # The dot is cut off beyond 4 sigma by the frame, hence not exact.
    np.testing.assert_allclose(PixelMap(source, network).to_network(at), centre, atol=0.02)
    np.testing.assert_allclose(PixelMap(source, network, "reference").to_network(at), [83 / 4, 47 / 2])


def test_frame_edges_meet() -> None:
    pixel_map = PixelMap((480, 854), (256, 455))
    corners = np.array([[-0.5, -0.5], [853.5, 479.5]])
    np.testing.assert_allclose(pixel_map.to_network(corners), [[-0.5, -0.5], [454.5, 255.5]], atol=1e-12)
