"""Overlays of masks: the palette's colours inside, lines around, the background untouched."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.overlay import MaskOverlay
from fgvc_deploy.results.palette import DAVIS_PALETTE

Frame = NDArray[np.uint8]


def grey(hw: tuple[int, int]) -> Frame:
    return np.random.default_rng(0).integers(90, 110, (*hw, 3), dtype=np.uint8)


def test_mask_colours_contours_and_background() -> None:
    frame = grey((60, 80))
    labels = np.zeros((60, 80), np.uint8)
    labels[10:40, 10:50] = 1
    labels[10:40, 30:50] = 2
    drawn = MaskOverlay(alpha=0.5).draw(frame, labels)
    np.testing.assert_array_equal(drawn[labels == 0], frame[labels == 0])
    for place, label in (((25, 20), 1), ((25, 40), 2)):
        expected = (frame[place].astype(float) + DAVIS_PALETTE[label]) / 2
        assert np.abs(drawn[place] - expected).max() <= 1
    for place in ((10, 20), (39, 45), (25, 29), (25, 30)):
        assert drawn[place].min() > 150


def test_mask_of_one_grey_object_and_none() -> None:
    frame, labels = grey((30, 30)), np.zeros((30, 30), np.uint8)
    np.testing.assert_array_equal(MaskOverlay().draw(frame, labels), frame)
    labels[5:25, 5:25] = 255
    same = np.where(labels == 255, np.uint8(1), np.uint8(0))
    np.testing.assert_array_equal(MaskOverlay().draw(frame, labels), MaskOverlay().draw(frame, same))


def test_mask_arguments() -> None:
    with pytest.raises(ValueError, match="alpha"):
        MaskOverlay(1.5)
    with pytest.raises(ValueError, match="mask of"):
        MaskOverlay().draw(grey((30, 30)), np.zeros((30, 31), np.uint8))
