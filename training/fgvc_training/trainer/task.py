"""What the trainer needs from a training task, and the table of tasks.

No task lives here: each is a module of its own that ends with its `KIND`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel
from torch import nn

from fgvc_training.errors import TrainingError


class UnknownTask(TrainingError):
    """A configuration names a task that is not in `TASKS`."""


class Task(Protocol):
    """One thing to train.

    Every random choice comes from the generators passed in, so that a run is a function of its configuration: sample
    i of a run is always the same, whichever process or worker makes it, and after any interruption.
    """

    @property
    def arch(self) -> str:
        """Row of `ARCHITECTURES` that `encoder` belongs to: what the trained encoder is saved as."""
        ...

    @property
    def module(self) -> nn.Module:
        """Everything trainable or stateful, called once per step as `module(batch, rng)`.

        Returns a dict of weighted scalar loss terms, the same names at every step; their sum is minimised.  With
        several processes it is wrapped in DistributedDataParallel, and `rng` is the same in all of them.
        """
        ...

    @property
    def encoder(self) -> nn.Module:
        """The part of `module` that the moving average follows and that is evaluated and exported."""
        ...

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """Sample number `index` of the whole run, CPU tensors; called in background workers: `module` is not theirs.

        `rng` belongs to this sample.  Tasks that go through a data set in epochs take their item from the index.
        """
        ...

    def collate(self, samples: Sequence[Any]) -> Any:
        """Samples of one process's share of the global batch -> what `module` takes (a tree of tensors)."""
        ...

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Optimizer groups: dicts with `params`, `lr` and `weight_decay`.  The schedule scales every `lr` alike."""
        ...

    def evaluate(self, encoder: nn.Module, *, seed: int) -> dict[str, float]:
        """Figures of `encoder` (the moving average, in eval mode) on held-out data, the same for the same seed."""
        ...


@dataclass(frozen=True)
class RunContext:
    """What a task may want to know of the run: `batch` is the global batch, `processes` share it equally."""

    seed: int = 0
    batch: int = 1
    processes: int = 1
    total_steps: int = 1


@dataclass(frozen=True)
class TaskKind:
    """How to make a task from its table in the configuration: `settings` checks it, `build` makes it."""

    settings: type[BaseModel]
    build: Callable[[Any, RunContext], Task]


TASKS: dict[str, str] = {"fgvc": "fgvc_training.paper.task", "edge": "fgvc_training.edge.task"}
"""`task = NAME` in a configuration -> the module that holds its `KIND`.  Its settings are the table `[NAME]`."""


def task_kind(name: str) -> TaskKind:
    """The kind called `name`.  Raises UnknownTask, listing the names."""
    if name not in TASKS:
        raise UnknownTask(f"there is no training task {name!r}: set task to one of {', '.join(TASKS)}")
    kind = importlib.import_module(TASKS[name]).KIND
    assert isinstance(kind, TaskKind)
    return kind


def decayed_groups(module: nn.Module, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """The usual groups: weights decay, biases and norms do not; frozen parameters are left out."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim > 1]
    plain = [parameter for parameter in trainable if parameter.ndim <= 1]
    groups = ((decayed, weight_decay), (plain, 0.0))
    return [{"params": group, "lr": learning_rate, "weight_decay": decay} for group, decay in groups if group]
