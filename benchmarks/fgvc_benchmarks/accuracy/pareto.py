"""Accuracy against processor time, one panel for each data set, with the front of what nothing beats in both.

Points bear numbers, which a list below the panels explains: names beside the points would cover each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from fgvc_benchmarks.accuracy.matrix import Row, Score
from fgvc_benchmarks.plots import BLUE, GREY, ORANGE, STYLE

TICKS = [factor * 10.0**power for power in range(-3, 2) for factor in (1, 2, 5)]
COLOURS = {"corrected": BLUE, "reference": ORANGE}


def pareto_plot(rows: Sequence[Row]) -> Figure:
    """Bars are 95 % bootstrap intervals over sequences."""
    datasets = list(dict.fromkeys(score.dataset for row in rows for score in row.scores))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(map(_name, rows)), start=1)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * max(1, len(datasets)), 3.6 + 0.16 * len(numbers)), layout="constrained")
        listed = "\n".join(f"{number}  {name}" for name, number in numbers.items())
        figure.supxlabel(listed, x=0.04, horizontalalignment="left", multialignment="left", fontsize=8)
        for number, dataset in enumerate(datasets, start=1):
            panel = figure.add_subplot(1, len(datasets), number)
            measured = [(row, score) for row in rows for score in row.scores if score.dataset == dataset]
            _panel(panel, measured, numbers)
            if number == 1:
                panel.legend(frameon=False, loc="lower right")
    return figure


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points (cost, gain), those that no cheaper or equally cheap one beats or equals, by cost."""
    best: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or gain > best[-1][1]:
            best.append((cost, gain))
    return best


def _name(row: Row) -> str:
    return f"{row.model}, {row.backend}"


def _panel(axes: Axes, measured: Sequence[tuple[Row, Score]], numbers: Mapping[str, int]) -> None:
    for compat, colour in COLOURS.items():
        chosen = [(row, score) for row, score in measured if row.compat == compat]
        if chosen:
            cost, gain = [score.cpu_s for _, score in chosen], [score.average for _, score in chosen]
            axes.errorbar(
                cost, gain, yerr=_spread([s for _, s in chosen]), fmt="o", color=colour, capsize=3, label=compat
            )
    edge = front([(score.cpu_s, score.average) for _, score in measured])
    axes.step([x for x, _ in edge], [y for _, y in edge], where="post", color=GREY, linestyle=":")
    for row, score in measured:
        where = (score.cpu_s, score.average)
        axes.annotate(str(numbers[_name(row)]), where, (5, 3), textcoords="offset points", fontsize=8)
    first = measured[0][1]
    axes.set_title(f"{first.dataset} {first.figure}" + (", %" if first.unit == "percent" else ""), fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks(TICKS)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(min(s.cpu_s for _, s in measured) / 1.6, max(s.cpu_s for _, s in measured) * 1.6)
    axes.margins(y=0.3)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("CPU-seconds a frame")


def _spread(scores: Sequence[Score]) -> list[list[float]]:
    """Distances to the intervals' ends, none where there is no interval."""
    low = [0.0 if s.low is None else max(0.0, s.average - s.low) for s in scores]
    high = [0.0 if s.high is None else max(0.0, s.high - s.average) for s in scores]
    return [low, high]
