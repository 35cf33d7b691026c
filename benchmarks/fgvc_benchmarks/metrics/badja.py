"""BADJA: percentage of correct animal joints, relative to the animal's size in the image (goldens item 43).

A joint is correct if its distance from the truth is strictly below alpha * sqrt(area of the animal's mask) in that
frame.  Only annotated, visible joints of annotated frames count.
Differences between `reference=True` (FGVC's code) and the default (the protocol of PIPs, whose published figures are
averages over sequences):
- published: every visible joint counts, also in the first frame, where it is given, and also joints hidden in the
  first frame, which no query follows.  Default: joints visible in the first frame, from the second frame on.
- published: the average is over joints, so long sequences weigh more.  Default: over sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ALPHAS = (0.1, 0.2, 0.3, 0.4)
EVAL_HW = (320, 512)
"""Frame size at which the published code scores."""


class BadjaSequence(NamedTuple):
    """One sequence, all in one pixel frame, frame 0 being the first annotated one.

    `predicted` and `truth` [N, T, 2] (x, y), `visible` bool [N, T] (False in frames without annotation), `mask_area`
    [T] in pixels.
    """

    predicted: NDArray[Any]
    truth: NDArray[Any]
    visible: NDArray[np.bool_]
    mask_area: NDArray[Any]


class BadjaScore(NamedTuple):
    """Percentages: `sequences` by name, and their `average`; NaN where nothing could be counted."""

    sequences: dict[str, float]
    average: float


def badja_pck(sequences: Mapping[str, BadjaSequence], alpha: float = 0.2, *, reference: bool = False) -> BadjaScore:
    """PCK at `alpha`, in percent."""
    counts = {name: badja_counts(sequence, alpha, reference=reference) for name, sequence in sequences.items()}
    per_sequence = {name: percent(*count) for name, count in counts.items()}
    if reference:
        totals = np.sum(list(counts.values()), axis=0)
        return BadjaScore(per_sequence, percent(int(totals[0]), int(totals[1])))
    numbers = [value for value in per_sequence.values() if not np.isnan(value)]
    return BadjaScore(per_sequence, float(np.mean(numbers)) if numbers else float("nan"))


def badja_counts(sequence: BadjaSequence, alpha: float, *, reference: bool = False) -> tuple[int, int]:
    """How many joints of a sequence are correct at `alpha`, and how many are counted."""
    counted = sequence.visible.astype(bool)
    if not reference:
        counted = counted & counted[:, :1]
        counted[:, 0] = False
    distance = np.linalg.norm(sequence.predicted.astype(np.float64) - sequence.truth, axis=-1)
    correct = distance < alpha * np.sqrt(sequence.mask_area.astype(np.float64))
    return int((correct & counted).sum()), int(counted.sum())


def percent(correct: int, counted: int) -> float:
    """PCK of a count; NaN where nothing was counted."""
    return 100.0 * correct / counted if counted else float("nan")


def mask_area_at(mask: NDArray[Any], size_hw: tuple[int, int] = EVAL_HW) -> int:
    """Foreground pixels of a mask [H, W] after nearest-neighbour resizing, as OpenCV does it."""
    rows, columns = (np.arange(size) * old // size for size, old in zip(size_hw, mask.shape, strict=True))
    return int((mask[rows[:, None], columns] > 0).sum())
