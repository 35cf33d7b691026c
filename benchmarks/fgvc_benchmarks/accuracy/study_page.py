"""The record of a settings study, and its table in docs/settings.md."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from fgvc_benchmarks import pages
from fgvc_benchmarks.accuracy.base import Figures
from fgvc_benchmarks.accuracy.intervals import MeanInterval, mean_interval
from fgvc_benchmarks.accuracy.records import EvalRecord
from fgvc_benchmarks.provenance import ROOT, ModelFacts
from fgvc_deploy.results.run_json import Machine
from fgvc_deploy.settings import FrozenModel

RESULT = ROOT / "benchmarks" / "results" / "settings.json"
PAGE = ROOT / "docs" / "settings.md"
COLUMNS = (
    ("planar", "average_pts_within_thresh", "planar <delta_avg"),
    ("davis", "J-Mean", "held-out masks J"),
    ("cycle", "average_returned_within_thresh", "cycle"),
    ("synthetic", "average_pts_within_thresh", "synthetic <delta_avg"),
)
"""Task, figure and title of each column."""


class StudyRow(FrozenModel):
    """One variant on one clip."""

    variant: str
    dataset: str
    clip: str
    network_size: str
    changes: dict[str, JsonValue]
    figures: Figures
    frames: int
    cpu_s: float
    commit: str
    started: str


class StudyRecord(FrozenModel):
    """The whole study."""

    model: ModelFacts
    machine: Machine
    versions: dict[str, str]
    rows: tuple[StudyRow, ...]


def write_page(done: Sequence[tuple[str, EvalRecord]]) -> None:
    """Write the record, and its table into the page."""
    record = study_record(done)
    RESULT.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    pages.write_page(PAGE, table(record))


def study_record(done: Sequence[tuple[str, EvalRecord]]) -> StudyRecord:
    """What is kept of the records of a study."""
    about = done[0][1].configuration
    rows = tuple(
        StudyRow(
            variant=name,
            dataset=r.configuration.dataset,
            clip=r.clip,
            network_size=r.configuration.network_size,
            changes=dict(r.configuration.options.settings),
            figures=r.scores.figures,
            frames=r.cost.frames,
            cpu_s=r.cost.cpu_s,
            commit=r.commit,
            started=r.started,
        )
        for name, r in done
    )
    return StudyRecord(model=about.model, machine=about.machine, versions=about.versions, rows=rows)


def table(record: StudyRecord) -> str:
    """Markdown: means of the first variant, then differences to it over the same clips, in points."""
    names = list(dict.fromkeys(row.variant for row in record.rows))
    lines = ["| settings | " + " | ".join(title for *_, title in COLUMNS) + " | CPU-s a frame |"]
    lines.append("|---|" + "---:|" * (len(COLUMNS) + 1))
    for name in names:
        cells = [_cell(record, name, names[0], dataset, figure) for dataset, figure, _ in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {_cpu(record, name):.3f} |")
    clips = {dataset: len(_values(record, names[0], dataset, figure)) for dataset, figure, _ in COLUMNS}
    counts = ", ".join(f"{dataset} {count}" for dataset, count in clips.items())
    commits = ", ".join(sorted({row.commit[:10] for row in record.rows}))
    lines += ["", f"Clips: {counts}.  Model: {record.model.weights}, manifest sha256 {record.model.sha256[:12]}."]
    lines += [f"{record.machine.cpu}, one thread, shared with other work; commits {commits}."]
    return "\n".join(lines) + "\n"


def difference(record: StudyRecord, name: str, base: str, dataset: str, figure: str) -> MeanInterval:
    """Mean difference of a variant to another over the clips that both have.  Raises ValueError without any."""
    ours, theirs = (_values(record, variant, dataset, figure) for variant in (name, base))
    return mean_interval([ours[clip] - theirs[clip] for clip in ours if clip in theirs])


def _cell(record: StudyRecord, name: str, base: str, dataset: str, figure: str) -> str:
    if not _values(record, name, dataset, figure):
        return ""
    if name == base:
        return mean_interval(list(_values(record, name, dataset, figure).values())).text(scale=100)
    gain = difference(record, name, base, dataset, figure)
    text = gain.text(scale=100)
    return text if gain.mean < 0 else f"+{text}"


def _values(record: StudyRecord, name: str, dataset: str, figure: str) -> dict[str, float]:
    rows = [row for row in record.rows if (row.variant, row.dataset) == (name, dataset)]
    return {row.clip: value for row in rows if (value := row.figures[figure]) is not None}


def _cpu(record: StudyRecord, name: str) -> float:
    """Processor seconds a frame on rectangular video; the square scenes are smaller."""
    rows = [row for row in record.rows if row.variant == name and row.dataset != "synthetic"]
    return sum(row.cpu_s for row in rows) / max(1, sum(row.frames for row in rows))
