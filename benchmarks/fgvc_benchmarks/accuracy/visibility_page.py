"""The record of a calibration, and its table in docs/visibility.md."""

from __future__ import annotations

from fgvc_benchmarks.pages import write_page
from fgvc_benchmarks.provenance import ROOT
from fgvc_deploy.settings import FrozenModel, RoundTripSettings, VisibilitySettings

RESULT = ROOT / "benchmarks" / "results" / "visibility.json"
PAGE = ROOT / "docs" / "visibility.md"


class Judged(FrozenModel):
    """Figures of one way to judge visibility, as fractions; None where there is a verdict but no confidence.

    `auc_visible`: how often a visible position has more confidence than a hidden one; `auc_right`: how often one that
    is visible and tracked to within 4 px has more than one that is not.  `log_loss`: mean of -log of the probability
    of what was true.
    """

    average_jaccard: float
    occlusion_accuracy: float
    average_pts_within_thresh: float
    auc_visible: float | None = None
    auc_right: float | None = None
    log_loss: float | None = None


class VisibilityReport(FrozenModel):
    """Held-out figures by way, and what was calibrated."""

    settings: VisibilitySettings
    threshold: float
    round_trip: RoundTripSettings
    occluded_share: float
    scenes: int
    rows: dict[str, Judged]
    model_weights: str
    commit: str


def write_report(report: VisibilityReport) -> None:
    """Write the record, and its table into the page."""
    RESULT.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_page(PAGE, table(report))


def table(report: VisibilityReport) -> str:
    """Markdown: a line for each way, and what was fitted."""
    lines = [
        "| visible is | AJ | occlusion accuracy | AUC, visible | AUC, right | log loss |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [f"| {name} | {' | '.join(_cells(row))} |" for name, row in report.rows.items()]
    lines += [
        "",
        f"{report.scenes} scenes of 24 frames, 64 points each; {report.occluded_share:.1%} of positions are hidden.",
        f"Weights: {_weights(report.settings)}; threshold {report.threshold:g}.  With `--round-trip`: "
        f"{_weights(report.round_trip)}.  Model: {report.model_weights}.",
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Judged) -> list[str]:
    figures = (row.average_jaccard, row.occlusion_accuracy, row.auc_visible, row.auc_right, row.log_loss)
    return ["" if figure is None else f"{figure:.3f}" for figure in figures]


def _weights(settings: VisibilitySettings) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.model_dump().items())
