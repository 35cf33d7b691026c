"""The report of a folder of benchmark records: report.md with tables, and the plots beside it as SVG.

Figures are only read here.  A case whose parity check failed appears with its reason and without a speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from fgvc_benchmarks import kernels, latency, plots
from fgvc_benchmarks.provenance import Configuration
from fgvc_benchmarks.records import Record, newest, read
from fgvc_deploy.errors import InputError

SUITES = (latency.SUITE, kernels.SUITE)


class Section(NamedTuple):
    """Cases whose names start with `prefix` and `=`: title, and for a curve the label and scale of its axis."""

    prefix: str
    title: str
    xlabel: str = ""
    log: bool = False


SECTIONS = (
    Section("points", "Against the number of points", "number of points (256x256)", log=True),
    Section("all pixels, points", "The same without the active set", "number of points (256x256)", log=True),
    Section("size", "Against the frame size", "frame side in network pixels (5 points)", log=True),
    Section("memory", "Against the length of the memory", "frames kept beside the first (256x256, 5 points)"),
    Section("stream", "A video: the next frame encoded meanwhile, or not"),
    Section("backend", "Backends"),
)


def write_report(folder: Path) -> Path:
    """Write report.md and its plots into `folder` from the JSONL files there; returns the report's path.

    Raises InputError when the folder holds no records.
    """
    chosen = {suite: newest(read(folder / f"{suite}.jsonl")) for suite in SUITES}
    if not any(chosen.values()):
        raise InputError(
            f"{folder}: holds no benchmark records; measure first with `fgvc-deploy bench kernels --out`."
        )
    lines = ["# Benchmarks", "", "Written by `fgvc-deploy bench report`; do not edit. How it is measured stands in"]
    lines += ["docs/benchmarks.md. Times are medians; intervals are 95 % bootstrap intervals.", ""]
    if chosen[latency.SUITE]:
        lines += _latency(chosen[latency.SUITE], folder)
    if chosen[kernels.SUITE]:
        lines += _kernels(chosen[kernels.SUITE], folder)
    path = folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def _latency(records: Sequence[Record], folder: Path) -> Iterator[str]:
    yield from ("## A tracker step: frame in, coordinates out", "", *_provenance(records), "")
    dense = [r for r in records if r.params["subject"] == "dense_tracker"]
    for section in SECTIONS:
        cases = [r for r in records if r.case.startswith(f"{section.prefix}=")]
        if not cases:
            continue
        beside = dense if section.prefix == "points" else []
        yield from (f"### {section.title}", "", *_curve(section, cases, beside, folder))
        yield from (*_table([*cases, *beside], _latency_columns(cases)), "")
    yield from _stages([r for r in records if r.measurement and r.params["subject"] == "tracker"], folder)


def _curve(section: Section, cases: Sequence[Record], beside: Sequence[Record], folder: Path) -> list[str]:
    measured = {r.case.partition("=")[2]: r for r in cases if r.measurement}
    if not section.xlabel or len(measured) < 2:
        return []
    level = next((("dense reference pipeline", _wall(r)) for r in beside if r.measurement), None)
    points = {float(value): record for value, record in measured.items()}
    figure = plots.sweep_plot(points, section.xlabel, log=section.log, reference=level)
    return _plot(figure, folder, "latency_" + re.sub(r"\W+", "_", section.prefix))


def _stages(records: Sequence[Record], folder: Path) -> Iterator[str]:
    if not records:
        return
    names = list(plots.STAGE_COLORS)
    yield from ("### Where the time goes", "")
    yield from _plot(plots.stage_plot(records), folder, "latency_stages")
    yield "| case | " + " | ".join(f"{name}, ms" for name in names) + " |"
    yield "|---|" + "---:|" * len(names)
    for record in records:
        seconds = plots.stage_seconds(record)
        yield f"| {record.case} | " + " | ".join(f"{1e3 * seconds.get(name, 0.0):.1f}" for name in names) + " |"
    yield ""


def _kernels(records: Sequence[Record], folder: Path) -> Iterator[str]:
    yield from ("## Propagation of one frame from 6 key frames", "", *_provenance(records), "")
    ratios = (
        ("share_of_sgemm", "useful GFLOP/s of matching / sgemm on the same threads", False, ("sgemm", 1.0)),
        ("speedup_over_dense", "speed-up over the dense reference", True, None),
    )
    for name, label, log, mark in ratios:
        cases = [r for r in records if name in r.ratios]
        if cases:
            yield from _plot(plots.ratio_plot(cases, name, label, log=log, mark=mark), folder, f"kernels_{name}")
    yield from (*_table(records, _kernel_columns(records)), "")


Column = tuple[str, Callable[[Record], str]]


def _latency_columns(records: Sequence[Record]) -> list[Column]:
    columns: list[Column] = [
        ("s/frame", lambda r: f"{_wall(r):.4g}"),
        ("CPU-s/frame", lambda r: f"{r.measurement.cpu_s.median:.4g}" if r.measurement else ""),
        ("peak memory, MB", lambda r: f"{r.measurement.peak_memory_bytes / 1e6:.0f}" if r.measurement else ""),
        ("encoder + propagation", lambda r: f"{r.facts.get('encoder', '')} + {r.facts.get('propagation', '')}"),
    ]
    return [*columns, *_ratio_columns(records)]


def _kernel_columns(records: Sequence[Record]) -> list[Column]:
    columns: list[Column] = [
        ("how", lambda r: " ".join(str(r.facts[k]) for k in ("precision", "isa", "blas_kernel") if r.facts.get(k))),
        ("ms", lambda r: f"{1e3 * _wall(r):.4g}"),
        ("CPU-ms", lambda r: f"{1e3 * r.measurement.cpu_s.median:.4g}" if r.measurement else ""),
        ("GFLOP/s", _rate),
        ("peak memory, MB", lambda r: f"{r.measurement.peak_memory_bytes / 1e6:.0f}" if r.measurement else ""),
    ]
    return [*columns, *_ratio_columns(records)]


def _rate(record: Record) -> str:
    """Useful GFLOP/s of `match` for a backend, of the whole step for dense, GFLOP/s of the product for sgemm."""
    if record.measurement is None:
        return ""
    stages = record.measurement.stages_s
    seconds = stages["match"].median if "match" in stages else _wall(record)
    gflop = record.facts["useful_gflop"] if "useful_gflop" in record.facts else record.facts["gflop"]
    assert isinstance(gflop, (int, float))
    return f"{gflop / seconds:.4g}"


def _ratio_columns(records: Sequence[Record]) -> list[Column]:
    names = dict.fromkeys(name for record in records for name in record.ratios)
    return [(name.replace("_", " "), partial(_ratio, name)) for name in names]


def _ratio(name: str, record: Record) -> str:
    ratio = record.ratios.get(name)
    return f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]" if ratio else ""


def _table(records: Sequence[Record], columns: Sequence[Column]) -> Iterator[str]:
    yield "| case | " + " | ".join(title for title, _ in columns) + " | parity |"
    yield "|---|" + "---:|" * len(columns) + "---|"
    for record in records:
        if record.measurement is None:
            reason = record.reason.splitlines()[-1].replace("|", "/")
            yield f"| {record.case} |" + " |" * len(columns) + f" {record.status}: {reason} |"
            continue
        figures = ", ".join(f"{f.figure} {f.value:.2g} {f.unit}".rstrip() for f in record.parity)
        yield f"| {record.case} | " + " | ".join(cell(record) for _, cell in columns) + f" | {figures} |"


def _provenance(records: Sequence[Record]) -> Iterator[str]:
    c: Configuration = records[0].configuration
    state = f"commit {c.commit.sha[:10] or 'unknown'}{' with changes' if c.commit.dirty else ''}"
    yield f"- {c.machine.cpu} ({', '.join(c.isa)}), {c.machine.cores} cores, {c.machine.memory_bytes / 2**30:.0f} GiB"
    yield f"- {c.threads} threads, {c.rounds} rounds, {state}, sources {c.commit.sources_sha256[:10]}"
    yield "- " + ", ".join(f"{name} {version}" for name, version in c.versions.items())
    if c.model:
        yield f"- model {c.model.arch}, stride {c.model.stride}, {c.model.channels} channels, {c.model.weights}"
        yield f"- bundle sha256 {c.model.sha256}"
    if c.removed_environment:
        yield f"- taken out of the environment: {', '.join(c.removed_environment)}"
    others = [record.other_cores for record in records if record.other_cores is not None]
    meanwhile = f"; other processes used up to {max(others):.2f} cores meanwhile" if others else ""
    yield f"- {min(record.started for record in records)}{meanwhile}"


def _plot(figure: Figure, folder: Path, name: str) -> list[str]:
    plots.save(figure, folder / f"{name}.svg")
    return [f"![{name.replace('_', ' ')}]({name}.svg)", ""]


def _wall(record: Record) -> float:
    assert record.measurement is not None
    return record.measurement.wall_s.median
