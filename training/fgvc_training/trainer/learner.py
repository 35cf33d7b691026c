"""The state of a training and one step of it: forward, backward, update, average.  No files, no loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils import _pytree as pytree

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.averaging import MovingAverage
from fgvc_training.trainer.batch_norm import synchronize_batch_norm
from fgvc_training.trainer.config import LoopSettings
from fgvc_training.trainer.processes import Processes
from fgvc_training.trainer.schedule import make_optimizer, rate_factor, set_rate
from fgvc_training.trainer.seeding import seed_torch, stream
from fgvc_training.trainer.task import Task


class NotFinite(TrainingError):
    """A loss or the gradient is NaN or infinite; the weights are those before the step."""


class StepResult(NamedTuple):
    """Figures of one step, means over processes, and whether any process was asked to stop."""

    values: dict[str, float]
    stop: bool


class Learner:
    """A task with its optimizer and moving average.  `step` steps have been done."""

    def __init__(self, task: Task, settings: LoopSettings, seed: int, processes: Processes) -> None:
        self.task = task
        self.seed = seed
        self.step = 0
        self._settings = settings
        self._processes = processes
        self.module = task.module.to(processes.device).train()
        if settings.channels_last:
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        synced = settings.batch_norm == "synced" and processes.count > 1
        if synced:
            synchronize_batch_norm(self.module)
        self.average = MovingAverage(task.encoder, settings.ema)
        choice = settings.optimizer
        self.optimizer = make_optimizer(task.parameter_groups(choice.learning_rate, choice.weight_decay), choice)
        self._parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._model: nn.Module = processes.wrap(self.module, sync_buffers=not synced)

    def train_step(self, batch: Any, *, stop: bool = False) -> StepResult:
        """One update from this process's share of a batch.  Raises NotFinite before anything is updated."""
        settings = self._settings
        set_rate(self.optimizer, rate_factor(self.step, settings.steps, settings.optimizer))
        terms = self.losses(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, settings.optimizer.clip_norm or torch.inf)
        values, stopping = self._agree(terms, norm, stop)
        if not all(abs(value) < torch.inf for value in values.values()):
            bad = ", ".join(name for name, value in values.items() if not abs(value) < torch.inf)
            raise NotFinite(f"at step {self.step + 1} not finite: {bad}")
        self.optimizer.step()
        self.average.update(self.task.encoder)
        self.step += 1
        return StepResult(values, stopping)

    def losses(self, batch: Any) -> dict[str, torch.Tensor]:
        """Loss terms of the coming step, drawn from its own random streams."""
        rank, count = self._processes.rank, self._processes.count
        seed_torch(self.seed, "torch", self.step * count + rank)
        moved = pytree.tree_map(self._to_device, batch)
        bf16 = self._settings.precision == "bf16"
        with torch.autocast(self._processes.device.type, dtype=torch.bfloat16, enabled=bf16):
            terms: dict[str, torch.Tensor] = self._model(moved, stream(self.seed, "step", self.step))
        return terms

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but the data and random streams, which follow from `step`."""
        return {
            "step": self.step,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        torch.set_rng_state(state["torch_rng"])
        self.step = state["step"]

    def _agree(self, terms: dict[str, torch.Tensor], norm: torch.Tensor, stop: bool) -> tuple[dict[str, float], bool]:
        """Figures and stop wish, averaged over processes in one message, so that all decide alike."""
        figures = [*(term.detach().double() for term in terms.values()), norm.double()]
        wish = torch.tensor(float(stop), dtype=torch.float64, device=norm.device)
        *means, stops = self._processes.mean(torch.stack([*figures, wish])).tolist()
        *parts, gradient_norm = means
        values = {"loss": sum(parts)} | dict(zip(terms, parts, strict=True)) | {"gradient_norm": gradient_norm}
        return values, stops > 0

    def _to_device(self, leaf: Any) -> Any:
        # A copy also on the CPU: a task may write into its batch, and a step that fails is kept with what it got.
        return (
            leaf.to(self._processes.device, non_blocking=True, copy=True) if isinstance(leaf, torch.Tensor) else leaf
        )
