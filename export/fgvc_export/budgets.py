"""What an export may differ from its PyTorch source: the table of budgets, and the verdict on a figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fgvc_deploy.bundle.manifest import ParityFigure
from fgvc_deploy.errors import ParityError


@dataclass(frozen=True, slots=True)
class Budget:
    """One figure: which way it is limited, the limit for each precision, and why that much."""

    figure: str
    unit: str
    limit: Literal["at_most", "at_least"]
    value: dict[str, float]
    reason: str


_NOISE_RULE = (
    "Raised to twice what rounding noise in the reference's own features does on the same clip, where that is more: "
    "flat image areas or untrained weights leave tied matches, and then no two fp32 encoders agree."
)

BUDGETS: dict[str, Budget] = {
    row.figure: row
    for row in (
        Budget(
            "feature_cosine_min",
            "",
            "at_least",
            {"fp32": 0.99999, "fp16": 0.999, "bf16": 0.97, "int8": 0.9},
            "Cosine of the worst pixel's feature vectors. Matching sees only directions; a Winograd convolution in "
            "fp32 stays above this, one in bf16 (0.997) does not. Below fp32 it is a coarse check: tracks decide.",
        ),
        Budget(
            "feature_error_max",
            "of the largest feature",
            "at_most",
            {"fp32": 5e-5, "fp16": 0.05, "bf16": 0.1, "int8": 0.2},
            "Largest difference of one value, relative to the largest feature. fp32 rounding in another order of "
            "summation gives 1e-6 (ResNet-18) to 6e-6 (EfficientNet-lite0); wrong padding gives 1e-2 or more.",
        ),
        Budget(
            "track_p95",
            "px",
            "at_most",
            {"fp32": 0.01, "fp16": 0.1, "bf16": 1.0, "int8": 1.0},
            "In source pixels; the tolerance of the project's own parity tests (goldens item 26). Below fp32 the "
            "finest threshold of TAP-Vid: coarser scores must not change; fp16 a tenth of that. " + _NOISE_RULE,
        ),
        Budget(
            "track_max",
            "px",
            "at_most",
            {"fp32": 0.25, "fp16": 8.0, "bf16": 8.0, "int8": 8.0},
            "Looser than p95: the read-out averages the five highest label values, which are nearly equal, so one "
            "that changes places moves a point by up to a lattice step of 0.2 px (goldens item 25). Below fp32 half "
            "of TAP-Vid's coarsest threshold, because one ambiguous match takes a point elsewhere. " + _NOISE_RULE,
        ),
        Budget(
            "match_recall",
            "of the top k",
            "at_least",
            {"fp16": 0.98, "bf16": 0.5, "int8": 0.5},
            "Share of the best keys of the PyTorch encoder that are still among the best. A coarse check, as the "
            "cosine is: keys of nearly equal score change places without moving a track. " + _NOISE_RULE,
        ),
        Budget(
            "match_score_max",
            "",
            "at_most",
            {"fp32": 2e-6},
            "Cosine of a chosen key beside float64, and of the k best keys beside those chosen. A float32 product of "
            "unit vectors of 256 channels is off by about 16 roundings of 2^-24.",
        ),
        Budget(
            "carried_label_max",
            "",
            "at_most",
            {"fp32": 5e-6},
            "Labels from 0 to 1 beside the float64 sum over the same matches. score / temperature (14 at 0.07) is "
            "rounded at 1e-6, which the exponential makes a relative error of the weight.",
        ),
    )
}


def judge(name: str, precision: str, value: float, detail: str, noise: float = 0.0) -> ParityFigure:
    """The figure with its budget and verdict; NaN never passes.

    `noise`: how far the same figure of the reference against itself with rounding noise is from 0, or from 1 where
    more is better (0 where not measured).
    """
    row = BUDGETS[name]
    budget = row.value[precision]
    allowed = max(budget, 2 * noise) if row.limit == "at_most" else min(budget, 1 - 2 * noise)
    if allowed != budget:
        detail += f"; budget widened from {budget:g}, rounding noise alone gives {noise:.2g}"
        budget = allowed
    passed = value <= budget if row.limit == "at_most" else value >= budget
    return ParityFigure(
        figure=name, value=value, budget=budget, unit=row.unit, limit=row.limit, passed=passed, detail=detail
    )


def enforce(what: str, figures: Iterable[ParityFigure], reference: str = "the PyTorch encoder") -> None:
    """Raise `ParityError` naming every figure of `what` that missed its budget beside `reference`."""
    missed = [
        f"{figure.figure} is {figure.value:.6g} {figure.unit}".rstrip()
        + f" where {'at most' if figure.limit == 'at_most' else 'at least'} {figure.budget:g} is allowed"
        for figure in figures
        if not figure.passed
    ]
    if missed:
        raise ParityError(f"{what} differs too much from {reference}: {'; '.join(missed)}; no bundle was written.")
