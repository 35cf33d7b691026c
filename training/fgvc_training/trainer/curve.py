"""A picture of a run: losses and evaluations by step, from its log.csv and eval.csv.  Needs matplotlib."""

from __future__ import annotations

import csv
from pathlib import Path

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.files import write_file_atomically

_NOT_LOSSES = ("step", "learning_rate", "gradient_norm")
_WIDTH, _HEIGHT = 7.0, 2.2


def draw_curve(run: Path, out: Path) -> None:
    """Draw the run in the folder `run` into `out` (.svg or .png): all losses, then one panel for each figure.

    Raises TrainingError if the run has no log yet, or `out` has another suffix.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    check_picture(out)
    losses, figures = _columns(run / "log.csv"), _columns(run / "eval.csv")
    if not losses:
        raise TrainingError(f"{run} has no log yet: there is nothing to draw")
    panels = [name for name in figures if name != "step"]
    # The same run gives the same file (no date, no random names of parts), and text stays text.
    with rc_context({"svg.hashsalt": "fgvc-deploy", "svg.fonttype": "none"}):
        picture = Figure(figsize=(_WIDTH, _HEIGHT * (1 + len(panels))), layout="constrained")
        first, *rest = picture.subplots(1 + len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for name in losses:
            if name not in _NOT_LOSSES:
                first.plot(losses["step"], losses[name], label=name, linewidth=1.6 if name == "loss" else 1.0)
        first.set_ylabel("loss")
        first.legend(fontsize="small")
        for axis, name in zip(rest, panels, strict=True):
            axis.plot(figures["step"], figures[name], marker="o", markersize=3)
            axis.set_ylabel(name)
        (rest[-1] if rest else first).set_xlabel("step")
        metadata = {"Date": None} if out.suffix == ".svg" else None
        kind = out.suffix.removeprefix(".")
        write_file_atomically(out, lambda path: picture.savefig(path, format=kind, metadata=metadata))


def check_picture(out: Path) -> None:
    """Raise TrainingError if `out` has no suffix of a picture that can be drawn."""
    if out.suffix not in (".svg", ".png"):
        raise TrainingError(f"{out} is neither .svg nor .png: choose one of them for the curve")


def _columns(path: Path) -> dict[str, list[float]]:
    """Columns of a table by name; empty if there is none."""
    if not path.is_file():
        return {}
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}
