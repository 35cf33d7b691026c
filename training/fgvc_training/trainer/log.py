"""What a run writes down: `log.csv` (means over the steps since the last row) and `eval.csv`.

Rows are functions of the run, without times, so that an interrupted and a straight run leave the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.files import write_atomically


class Table:
    """A CSV file whose first column is `step`; rows after the step a run continues from are dropped."""

    def __init__(self, path: Path, keep_until: int) -> None:
        self.path = path
        self._header: list[str] = []
        if path.is_file():
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            kept = [row for row in rows[1:] if row and row[0].isdigit() and int(row[0]) <= keep_until]
            self._header = rows[0] if kept else []
            write_atomically(path, _as_csv([self._header, *kept] if kept else []).encode())

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row; the first one names the columns."""
        names = ["step", *values]
        lines = [] if self._header else [names]
        self._header = self._header or names
        if names != self._header:
            raise TrainingError(
                f"{self.path} has the columns {', '.join(self._header)}, this step gives {', '.join(names)}: "
                "a task must name the same figures at every step"
            )
        lines.append([str(step), *(f"{value:.9g}" for value in values.values())])
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(_as_csv(lines))


class Mean:
    """Means of figures over the steps since they were last taken; part of a checkpoint."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: Mapping[str, float]) -> None:
        """One more step's figures."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in values.items()}
        self._count += 1

    def take(self) -> dict[str, float]:
        """The means; starts anew."""
        means = {name: value / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": dict(self._sums), "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a checkpoint stopped."""
        self._sums, self._count = dict(state["sums"]), state["count"]


def tensorboard_writer() -> Any:
    """Torch's class SummaryWriter.  Raises TrainingError when TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            "training.tensorboard is on, but TensorBoard is not installed: run `pip install tensorboard`, or set it "
            "to false (log.csv holds the same figures)"
        ) from None
    return SummaryWriter


def _as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
