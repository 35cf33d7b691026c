"""The training loop: steps, logs, evaluations, checkpoints, and how a run ends or goes on."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.config import TrainingConfig
from fgvc_training.trainer.folder import RunFolder
from fgvc_training.trainer.learner import Learner, NotFinite
from fgvc_training.trainer.log import Mean, tensorboard_writer
from fgvc_training.trainer.processes import Processes, joined_processes
from fgvc_training.trainer.records import Records
from fgvc_training.trainer.reproduction import save_step
from fgvc_training.trainer.samples import batches
from fgvc_training.trainer.seeding import seed_torch
from fgvc_training.trainer.stopping import StopRequest
from fgvc_training.trainer.task import RunContext, Task, task_kind
from fgvc_training.trainer.threads import threads


class Monitor(Protocol):
    """Who watches the run."""

    def say(self, text: str) -> None:
        """A remark worth a line."""
        ...

    def progress(self, text: str, share: float) -> None:
        """After every step: where the run is, as text and as a share of all steps."""
        ...


class Outcome(NamedTuple):
    """How a session ended: after `step` steps; `signal` is what stopped it, None if the run is complete.

    `best` and `final` are encoders for `fgvc-deploy export`, `metrics` the last evaluation.
    """

    step: int
    signal: int | None
    best: Path | None
    final: Path | None
    metrics: dict[str, float]


def train(config: TrainingConfig, out: Path, monitor: Monitor, *, resume: bool = False) -> Outcome:
    """Run, or continue, the training `config` in the folder `out`.  Raises TrainingError in one sentence.

    In every process that torchrun started; only the first writes and speaks.
    """
    with threads(config.training.threads), joined_processes(config.training.device) as processes:
        seed_torch(config.seed, "weights")
        context = RunContext(config.seed, config.training.batch, processes.count, config.training.steps)
        task = task_kind(config.task).build(config.settings, context)
        return Run(config, task, RunFolder(out), processes, monitor, resume=resume).train()


class Run:
    """One session of a run: from its start or last checkpoint until it is complete or stopped."""

    def __init__(
        self,
        config: TrainingConfig,
        task: Task,
        folder: RunFolder,
        processes: Processes,
        monitor: Monitor,
        *,
        resume: bool,
    ) -> None:
        self._settings = config.training
        self._share = processes.share(config.training.batch)
        self._processes, self._monitor, self._folder = processes, monitor, folder
        self._mean = Mean()
        self._best: tuple[int, float] | None = None
        self._metrics: dict[str, float] = {}
        self.learner = Learner(task, config.training, config.seed, processes)
        if config.training.tensorboard:
            # Asked here, so that no folder is begun where it is missing.
            tensorboard_writer()
        state = None
        if resume:
            folder.check_same(config)
            state = folder.load_checkpoint()
            self._restore(state)
        elif processes.first:
            folder.start(config)
        processes.barrier()
        self._records: Records | None = None
        if processes.first:
            last = None if state is None else self.learner.step
            self._records = Records(folder, last, tensorboard=config.training.tensorboard)

    def train(self) -> Outcome:
        """Train until done or asked to stop; however it ends, the last checkpoint can be resumed."""
        stopped: int | None = None
        try:
            with StopRequest() as request:
                stopped = self._steps(request)
        finally:
            if self._records is not None:
                self._records.close(
                    self.learner.step, processes=self._processes.count, device=str(self._processes.device)
                )
        best, final = (path if path.is_file() else None for path in map(self._folder.weights, ("best", "final")))
        return Outcome(self.learner.step, stopped, best, final, self._metrics)

    def _steps(self, request: StopRequest) -> int | None:
        learner, settings = self.learner, self._settings
        if learner.step == 0:
            self._evaluate()
        steps = range(learner.step, settings.steps)
        began = time.monotonic()
        for batch in batches(learner.task, learner.seed, self._share, settings.batch, steps, settings.workers):
            try:
                result = learner.train_step(batch, stop=request.number is not None)
            except NotFinite as error:
                path = self._folder.path / f"failure_{learner.step:07d}_{self._processes.rank}.pt"
                save_step(path, learner, batch)
                raise NotFinite(f"{error}; the state before the step and its batch are kept in {path}") from None
            self._mean.add(result.values)
            self._after_step(stopping=result.stop)
            seconds, began = time.monotonic() - began, time.monotonic()
            text = f"step {learner.step} of {settings.steps}, loss {result.values['loss']:.4g}, {seconds:.2f} s"
            self._monitor.progress(text, learner.step / settings.steps)
            if result.stop and learner.step < settings.steps:
                return request.number or signal.SIGTERM
        return None

    def _after_step(self, *, stopping: bool) -> None:
        step, settings = self.learner.step, self._settings
        last = step == settings.steps
        if step % settings.log_every == 0 or last:
            rate = self.learner.optimizer.param_groups[0]["lr"]
            self._row("train", {"learning_rate": rate, **self._mean.take()})
        due = settings.evaluate_every > 0 and (step % settings.evaluate_every == 0 or last)
        best = due and self._evaluate()
        if self._processes.first:
            if last:
                self._folder.save_weights("final", self.learner.average.encoder, self.learner.task.arch)
            if best or stopping or last or step % settings.checkpoint_every == 0:
                best_step = self._best[0] if self._best else None
                self._folder.save_checkpoint(step, self._state(), keep=settings.keep, best_step=best_step)
        self._processes.barrier()

    def _evaluate(self) -> bool:
        """Evaluate the moving average, in the first process; True if it is the best so far."""
        learner = self.learner
        if not self._settings.evaluate_every or not self._processes.first:
            return False
        self._metrics = learner.task.evaluate(learner.average.encoder.eval(), seed=learner.seed)
        if not self._metrics:
            return False
        self._row("eval", self._metrics)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self._metrics.items())
        self._monitor.say(f"step {learner.step}: {figures}")
        name = self._settings.best_metric or next(iter(self._metrics))
        if name not in self._metrics:
            known = ", ".join(self._metrics)
            raise TrainingError(f"there is no figure {name}: set training.best_metric to one of {known}")
        value = self._metrics[name]
        # Not `<=`: a NaN is never best.
        if not value > (self._best[1] if self._best else -math.inf):
            return False
        self._best = (learner.step, value)
        self._folder.save_weights("best", learner.average.encoder, learner.task.arch)
        return True

    def _row(self, table: str, values: dict[str, float]) -> None:
        if self._records is not None:
            self._records.row(table, self.learner.step, values)

    def _state(self) -> dict[str, Any]:
        state = self.learner.state_dict() | {"mean": self._mean.state_dict()}
        return state | {"best": self._best, "metrics": self._metrics, "threads": torch.get_num_threads()}

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        self.learner.load_state_dict(state)
        self._mean.load_state_dict(state["mean"])
        self._best, self._metrics = state["best"], state["metrics"]
        if state["threads"] != torch.get_num_threads():
            self._monitor.say(
                f"the run had {state['threads']} threads, now it has {torch.get_num_threads()}: results may differ "
                "in the last bits; set training.threads"
            )
        self._monitor.say(f"going on from step {self.learner.step}")
