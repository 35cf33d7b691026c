"""The folder of a run: checkpoints, weights, and what identifies the run.  The tables are written by `log`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fgvc_training.encoder.checkpoint import save_encoder
from fgvc_training.errors import TrainingError
from fgvc_training.trainer.config import NOT_PART_OF_RESULT, TrainingConfig, check_config
from fgvc_training.trainer.files import write_atomically, write_file_atomically


class RunFault(TrainingError):
    """A run's folder cannot be used as asked."""


class RunFolder:
    """`config.json`, `checkpoints/step_N.pt`, `best.safetensors`, `final.safetensors` and the logs of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """Losses by step."""
        return self.path / "log.csv"

    @property
    def evaluations(self) -> Path:
        """Figures on held-out data by step."""
        return self.path / "eval.csv"

    def checkpoint(self, step: int) -> Path:
        """Where the state after `step` steps is kept."""
        return self.path / "checkpoints" / f"step_{step:07d}.pt"

    def weights(self, name: str) -> Path:
        """Where the encoder called `name` (best, final) is kept."""
        return self.path / f"{name}.safetensors"

    def start(self, config: TrainingConfig) -> None:
        """Begin a run here.  Raises RunFault if the folder holds one already."""
        if (self.path / "config.json").exists():
            raise RunFault(f"{self.path} holds a run already: give --resume to continue it, or another --out")
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.json", json.dumps(config.as_dict(), indent=1).encode())

    def check_same(self, config: TrainingConfig) -> None:
        """Raise RunFault if there is no run here, or it was started with settings that give other weights."""
        try:
            before = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunFault(f"{self.path} holds no run to continue: leave out --resume, or correct --out") from None
        # Through the same checks, so that a key which is newer than the run has its default.
        started = check_config(before, str(self.path / "config.json")).as_dict()
        changes = differences(started, config.as_dict())
        if changes:
            raise RunFault(
                f"{self.path} was started with other settings ({'; '.join(changes)}): restore them, or start a new "
                "run with another --out"
            )

    def save_checkpoint(self, step: int, state: Mapping[str, Any], *, keep: int, best_step: int | None) -> None:
        """Write the state, then remove all but the last `keep` checkpoints and the best."""
        write_file_atomically(self.checkpoint(step), lambda path: torch.save(dict(state), path))
        steps = self.checkpoint_steps()
        for old in steps[:-keep]:
            if old != best_step:
                self.checkpoint(old).unlink()

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        return sorted(int(path.stem.removeprefix("step_")) for path in (self.path / "checkpoints").glob("step_*.pt"))

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest state, or None if the run was interrupted before its first checkpoint."""
        steps = self.checkpoint_steps()
        if not steps:
            return None
        state: dict[str, Any] = torch.load(self.checkpoint(steps[-1]), map_location="cpu", weights_only=True)
        return state

    def save_weights(self, name: str, encoder: nn.Module, arch: str) -> None:
        """Write an encoder for `fgvc-deploy export`."""
        write_file_atomically(self.weights(name), lambda path: save_encoder(encoder, path, arch))

    def note_session(self, record: Mapping[str, Any]) -> None:
        """Append a line to sessions.jsonl: when and where a part of the run was computed, and how long it took."""
        with (self.path / "sessions.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """Values that differ between two configurations, as `key: before, now`; free keys are not compared."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        below = [(f"{where}.{key}" if where else key, before.get(key), now.get(key)) for key in keys]
        return [line for key, old, new in below if key not in FREE_KEYS for line in differences(old, new, key)]
    return [] if before == now else [f"{where} was {before!r}, is now {now!r}"]


FREE_KEYS = frozenset(f"training.{key}" for key in NOT_PART_OF_RESULT)
