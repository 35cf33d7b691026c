"""Samples made ahead by background processes.  Sample i is a function of the run's seed and i, whoever makes it."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.seeding import stream
from fgvc_training.trainer.task import Task
from fgvc_training.trainer.threads import threads


class _Samples(Dataset[Any]):
    """All samples of a run, by number."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed

    def __getitem__(self, index: int) -> Any:
        # Sums over pixels are split among threads, so their last bits would depend on how many there are.
        with threads(1):
            try:
                return self._task.sample(index, stream(self._seed, "sample", index))
            except TrainingError as error:
                # Handed over, because DataLoader would wrap its text into a traceback.
                return error

    def collate(self, samples: Sequence[Any]) -> Any:
        """A batch, or the first error among the samples."""
        faults = (sample for sample in samples if isinstance(sample, TrainingError))
        fault = next(faults, None)
        return fault if fault is not None else self._task.collate(samples)


def batches(task: Task, seed: int, share: range, batch: int, steps: range, workers: int) -> Iterator[Any]:
    """One process's share of the batch of each of `steps` (numbered from 0), in order.

    `share` are the process's places in a global batch of `batch` samples; step s uses samples s*batch to
    (s+1)*batch - 1 of the run.  Raises what making a sample raised.
    """
    samples = _Samples(task, seed)
    numbers = ([step * batch + place for place in share] for step in steps)
    loader = DataLoader(
        samples,
        batch_sampler=numbers,
        collate_fn=samples.collate,
        num_workers=workers,
        worker_init_fn=_ignore_signals if workers else None,
    )
    for made in loader:
        if isinstance(made, TrainingError):
            raise made
        yield made


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches the whole process group; the training process decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
