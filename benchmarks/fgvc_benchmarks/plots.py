"""Plots of benchmark records as SVG.  What stands around them is in `report.py`; nothing is measured here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from fgvc_benchmarks.records import Ratio, Record

# Okabe and Ito's palette: told apart by colour-blind readers, and by their grey in print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"
STAGE_COLORS = {
    "preprocess": "#56B4E9",
    "encode": BLUE,
    "prepare": "#F0E442",
    "propagate": ORANGE,
    "readout": GREEN,
    "other": "#BBBBBB",
}
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    # Equal records give equal files.
    "svg.hashsalt": "fgvc",
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG without a date, so that drawing the same records again changes nothing."""
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def sweep_plot(
    records: Mapping[float, Record], xlabel: str, *, log: bool, reference: tuple[str, float] | None = None
) -> Figure:
    """Wall-clock and processor seconds per frame against one parameter; `reference` adds a named level."""
    figure, axes = _axes()
    values = sorted(records)
    wall, cpu = ([_seconds(records[v], kind) for v in values] for kind in ("wall_s", "cpu_s"))
    axes.plot(values, cpu, "s--", color=ORANGE, label="processor time, all threads")
    axes.plot(values, wall, "o-", color=BLUE, label="wall clock")
    if reference:
        axes.axhline(reference[1], color=GREY, linestyle=":")
        axes.annotate(f"{reference[0]}: {reference[1]:.3g} s", (values[0], reference[1]), (0, -11), **_OFFSET)
    if log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        _plain_ticks(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xticks(values)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(xlabel)
    axes.set_ylabel("seconds per frame")
    axes.legend(frameon=False)
    return figure


def stage_plot(records: Sequence[Record]) -> Figure:
    """Milliseconds of each stage of a step, one stacked bar for each case; `other` is what no stage claims."""
    rows = _rows(records)
    figure, axes = _axes(height=1.0 + 0.3 * rows[-1])
    left = [0.0] * len(records)
    for stage, color in STAGE_COLORS.items():
        widths = [1e3 * stage_seconds(record).get(stage, 0.0) for record in records]
        axes.barh(rows, widths, left=left, color=color, label=stage, height=0.75)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    _name_rows(axes, rows, records)
    axes.set_xlabel("milliseconds per frame, wall clock (medians)")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return figure


def stage_seconds(record: Record) -> dict[str, float]:
    """Median seconds by stage, and `other`: the rest of the step's median."""
    if record.measurement is None:
        return {}
    stages = {name: seconds.median for name, seconds in record.measurement.stages_s.items()}
    rest = record.measurement.wall_s.median - sum(stages.values())
    return stages | {"other": max(0.0, rest)}


def ratio_plot(
    records: Sequence[Record], name: str, xlabel: str, *, log: bool, mark: tuple[str, float] | None = None
) -> Figure:
    """One ratio of several cases as bars with their 95 % intervals; `mark` draws a named vertical line."""
    rows = _rows(records)
    figure, axes = _axes(height=1.0 + 0.3 * rows[-1])
    for row, ratio in zip(rows, (record.ratios[name] for record in records), strict=True):
        axes.barh(row, ratio.value, color=BLUE, height=0.75)
        axes.errorbar(ratio.value, row, xerr=_spread(ratio), color="black", capsize=3, linewidth=1)
        axes.annotate(f"{ratio.value:.3g}", (ratio.high, row), (4, 0), va="center", **_OFFSET)
    _name_rows(axes, rows, records)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(left=1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if mark:
        axes.axvline(mark[1], color=GREY, linestyle=":")
        axes.annotate(mark[0], (mark[1], 0), (3, 4), color=GREY, xycoords=axes.get_xaxis_transform(), **_OFFSET)
    axes.margins(x=0.12)
    axes.set_xlabel(xlabel)
    return figure


_OFFSET: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9}


def _axes(height: float = 3.4) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, height))
        return figure, figure.subplots()


def _rows(records: Sequence[Record]) -> list[float]:
    """Heights of the bars, from the top, with a gap where the family of cases (`points=`, `128x128x256`) changes."""
    families = [re.split("[=/]", record.case)[0] for record in records]
    gaps = itertools.accumulate((0.6 * (a != b) for a, b in itertools.pairwise(families)), initial=0.0)
    return [row + gap for row, gap in enumerate(gaps)]


def _name_rows(axes: Axes, rows: Sequence[float], records: Sequence[Record]) -> None:
    axes.set_yticks(rows, [record.case for record in records])
    axes.set_ylim(rows[-1] + 0.6, -0.6)
    axes.grid(visible=False, axis="y")


def _seconds(record: Record, kind: str) -> float:
    assert record.measurement is not None
    return float(getattr(record.measurement, kind).median)


def _spread(ratio: Ratio) -> list[list[float]]:
    """Distances to the interval's ends; the median may lie outside of a bootstrap interval of few samples."""
    return [[max(0.0, ratio.value - ratio.low)], [max(0.0, ratio.high - ratio.value)]]


def _plain_ticks(axes: Axes) -> None:
    """Numbers like 0.05 and 0.2 on a logarithmic seconds axis, also where it spans less than a decade."""
    low, high = axes.get_ylim()
    steps = (1, 2, 5)
    ticks = [s * 10.0**e for e in range(-5, 4) for s in steps if low <= s * 10.0**e <= high]
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
