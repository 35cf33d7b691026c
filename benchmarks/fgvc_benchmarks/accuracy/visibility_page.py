"""The record of a calibration, and its table in docs/visibility.md."""

from __future__ import annotations

from fgvc_benchmarks.provenance import ROOT
from fgvc_deploy.settings import FrozenModel, VisibilitySettings

RESULT = ROOT / "benchmarks" / "results" / "visibility.json"
PAGE = ROOT / "docs" / "visibility.md"
START, END = "<!-- measured -->", "<!-- /measured -->"


class Judged(FrozenModel):
    """Figures of one way to judge visibility, as fractions."""

    average_jaccard: float
    occlusion_accuracy: float
    average_pts_within_thresh: float


class VisibilityReport(FrozenModel):
    """Held-out figures by way, and what was calibrated."""

    settings: VisibilitySettings
    threshold: float
    occluded_share: float
    scenes: int
    rows: dict[str, Judged]
    model_weights: str
    commit: str


def write_report(report: VisibilityReport) -> None:
    """Write the record, and its table into the page."""
    RESULT.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, after = page.partition(START)
    PAGE.write_text(before + START + "\n" + table(report) + END + after.partition(END)[2], encoding="utf-8")


def table(report: VisibilityReport) -> str:
    """Markdown: a line for each way, and what was fitted."""
    lines = ["| visible is | AJ | occlusion accuracy |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {row.average_jaccard:.3f} | {row.occlusion_accuracy:.3f} |" for name, row in report.rows.items()
    ]
    weights = ", ".join(f"{name} {value:g}" for name, value in report.settings.model_dump().items())
    lines += [
        "",
        f"{report.scenes} scenes of 24 frames, 64 points each; {report.occluded_share:.1%} of positions are hidden.",
        f"Weights: {weights}; threshold {report.threshold:g}.  Model: {report.model_weights}.",
    ]
    return "\n".join(lines) + "\n"
