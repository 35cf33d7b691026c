"""All that the first process of a run writes while it trains, but for weights: tables, TensorBoard, sessions."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from typing import Any

import torch

from fgvc_training.trainer.folder import RunFolder
from fgvc_training.trainer.log import Table, tensorboard_writer


class Records:
    """The records of one session that goes on after `last_step`, or from the beginning (None)."""

    def __init__(self, folder: RunFolder, last_step: int | None, *, tensorboard: bool) -> None:
        self._folder = folder
        step = last_step or 0
        kept = -1 if last_step is None else last_step
        board = str(folder.path / "tensorboard")
        self._board = tensorboard_writer()(board, purge_step=step) if tensorboard else None
        self._tables = {"train": Table(folder.log, kept), "eval": Table(folder.evaluations, kept)}
        self._first_step = step
        self._began = time.monotonic()

    def row(self, table: str, step: int, values: Mapping[str, float]) -> None:
        """A row of the table "train" or "eval", also for TensorBoard."""
        self._tables[table].add(step, values)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{table}/{name}", value, step)

    def close(self, step: int, **more: Any) -> None:
        """End the session after `step`; sessions.jsonl says how long it took, and where."""
        if self._board is not None:
            self._board.close()
        seconds = round(time.monotonic() - self._began, 2)
        record = {"from_step": self._first_step, "to_step": step, "seconds": seconds}
        machine = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__}
        self._folder.note_session(record | {"threads": torch.get_num_threads()} | machine | more)
