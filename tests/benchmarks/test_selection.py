"""The figures encoders are chosen by: right for a tracker whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.selection import Judge, Sequence, iou, read_sequence
from fgvc_deploy.model import Model
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.tracks import Tracks
from tiny_data import SQUARE, frames, masks, write_davis

AREA = SQUARE[2] ** 2


class Sliding:
    """A tracker whose points slide right by `step` px a frame, in whatever order frames come; masks stay."""

    def __init__(self, step: float) -> None:
        self._step = step

    def track(self, source: NDArray[np.uint8], queries: NDArray[np.float64], **_: Any) -> Tracks:
        times = np.arange(len(source))
        xy = queries[:, None, 2:0:-1] + self._step * times[None, :, None] * np.array((1.0, 0.0))
        seen = np.ones(xy.shape[:2], np.float32)
        return Tracks(xy.astype(np.float32), seen > 0, seen, queries.astype(np.float32))

    def track_masks(self, source: NDArray[np.uint8], mask: NDArray[np.uint8], **_: Any) -> NDArray[np.uint8]:
        return np.repeat(mask[None], len(source), axis=0)


def judge(step: float) -> Judge:
    return Judge(cast(Model, Sliding(step)), None, PropagationSettings())


@pytest.fixture
def sequence() -> Sequence:
    return Sequence(np.repeat(frames(1), 21, axis=0), np.repeat(masks(1) > 0, 21, axis=0))


@pytest.mark.parametrize(("missed", "within"), [(0.0, (100, 100)), (0.15, (100, 0)), (0.25, (0, 0))])
def test_cycle_counts_what_returns(sequence: Sequence, missed: float, within: tuple[int, int]) -> None:
    """Sliding the same way there and back misses by 40 steps; `missed` is that in roots of the object's area."""
    assert judge(missed * np.sqrt(AREA) / 40).cycle(sequence, 0).tolist() == list(within)


def test_masks_that_stay_score_what_they_cover(sequence: Sequence) -> None:
    moved = Sequence(sequence.frames[:6], np.concatenate([sequence.masks[:3], np.zeros_like(sequence.masks[:3])]))
    # Frames 0, 2 and 4 are taken, the ends left out.
    assert judge(0).mask_overlap(moved) == 100
    covered = sequence.masks[:6].copy()
    covered[2] = False
    assert judge(0).mask_overlap(Sequence(moved.frames, covered)) == 0


def test_empty_masks_agree() -> None:
    nothing = np.zeros((4, 4), bool)
    assert iou(nothing, nothing) == 1
    assert iou(nothing, ~nothing) == 0


def test_sequences_are_read_in_order(tmp_path: Path) -> None:
    write_davis(tmp_path, "one", 4, resolution="")
    found = read_sequence(tmp_path, "one")
    assert found.frames.shape == (4, 72, 96, 3)
    assert np.array_equal(found.masks, masks(4) > 0)
