"""How well a score tells two kinds of things apart, whatever threshold is chosen.  Scores of tracks: `tapvid.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def roc_auc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive thing scores above another one, ties counting half.

    `scores` and `positive` have one shape; NaN where there is nothing positive, or nothing else.
    """
    above, others = scores[positive], np.sort(scores[~positive])
    if not above.size or not others.size:
        return float("nan")
    lower = np.searchsorted(others, above, "left") + np.searchsorted(others, above, "right")
    return float(lower.mean() / 2 / others.size)


def log_loss(probability: NDArray[Any], happened: NDArray[np.bool_]) -> float:
    """Mean of minus the logarithm of the probability that was given to what happened."""
    given = np.where(happened, probability, 1 - probability.astype(np.float64))
    return float(-np.log(given.clip(1e-9)).mean())
