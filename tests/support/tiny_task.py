"""A training task of a few hundred weights: quick, with everything that makes exact resume hard.

Batch norm, dropout from torch's generator, a draw from the step's generator, samples that depend on their number.
Trainers know it after `register`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from fgvc_training.encoder.architectures import ARCHITECTURES, Architecture, Preprocess
from fgvc_training.errors import DataError
from fgvc_training.trainer.config import TrainingConfig, check_config
from fgvc_training.trainer.task import TASKS, RunContext, TaskKind, decayed_groups


class Settings(BaseModel):
    """`poison`: the number of a sample that is infinite; `unreadable`: of one that raises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dropout: float = 0.1
    poison: int | None = None
    unreadable: int | None = None
    double: bool = False


class Batch(NamedTuple):
    """Images [B, 3, 16, 16], and nothing where something may be."""

    images: Tensor
    nothing: None = None


class Encoder(nn.Module):
    """Two convolutions of stride 2 and 1 around a batch norm, dropout after it."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.mix = nn.Conv2d(6, 4, 1)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, 4, H/2, W/2]."""
        features: Tensor = self.mix(F.dropout(torch.tanh(self.bn(self.conv(x))), self.dropout, self.training))
        return features


class Module(nn.Module):
    """Learn the features of a fixed random projection, and have few large ones."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        """Two terms; the second is weighted by a draw of `rng`."""
        self.get_buffer("seen").add_(1)
        features = self.encoder(batch.images)
        target = F.avg_pool2d(batch.images, 2).mean(1, keepdim=True)
        return {"fit": F.mse_loss(features[:, :1], target), "size": rng.uniform(0.01, 0.1) * features.square().mean()}


class TinyTask:
    """See the module."""

    arch = "tiny"

    def __init__(self, settings: Settings, context: RunContext) -> None:
        self.settings = settings
        self.dtype = torch.float64 if settings.double else torch.float32
        self.encoder = Encoder(settings.dropout).to(self.dtype)
        self.module = Module(self.encoder).to(self.dtype)

    def sample(self, index: int, rng: np.random.Generator) -> Tensor:
        if index == self.settings.unreadable:
            raise DataError("the file a.png cannot be read: get it again")
        image = torch.from_numpy(rng.standard_normal((3, 16, 16))).to(self.dtype) + 0.01 * index
        return image * torch.inf if index == self.settings.poison else image

    def collate(self, samples: Sequence[Tensor]) -> Batch:
        return Batch(torch.stack(list(samples)))

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        return decayed_groups(self.module, learning_rate, weight_decay)

    def evaluate(self, encoder: nn.Module, *, seed: int) -> dict[str, float]:
        assert not encoder.training
        images = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, 3, 16, 16))).to(self.dtype)
        with torch.no_grad():
            error = F.mse_loss(encoder(images)[:, :1], F.avg_pool2d(images, 2).mean(1, keepdim=True))
        return {"score": -float(error), "error": float(error)}


KIND = TaskKind(Settings, TinyTask)


def register(patch: pytest.MonkeyPatch | None = None) -> None:
    """Make the task `tiny` and its architecture known, as long as `patch` lasts, or in a process of its own."""
    row = Architecture(
        name="tiny",
        summary="for tests",
        build=Encoder,
        stride=2,
        channels=4,
        preprocess=Preprocess("lab", mean=(0, 0, 0), std=(1, 1, 1)),
    )
    patch = patch or pytest.MonkeyPatch()
    patch.setitem(TASKS, "tiny", "tiny_task")
    patch.setitem(ARCHITECTURES, "tiny", row)


def tiny_config(training: dict[str, Any] | None = None, **settings: Any) -> TrainingConfig:
    """A configuration of ten steps that evaluates, logs and saves at different rhythms."""
    loop: dict[str, Any] = {"steps": 10, "batch": 4, "workers": 0, "threads": 1, "ema": 0.9}
    loop |= {"evaluate_every": 4, "checkpoint_every": 3, "log_every": 2}
    loop |= {"optimizer": {"warmup_steps": 3, "learning_rate": 0.01}}
    return check_config({"task": "tiny", "seed": 7, "training": loop | (training or {}), "tiny": settings}, "test")


class Silent:
    """A monitor that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps = 0

    def say(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, text: str, share: float) -> None:
        self.steps += 1
