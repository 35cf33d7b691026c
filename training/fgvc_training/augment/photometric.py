"""Changes of colour, light and sharpness that leave geometry alone.  Frames are RGB in 0..1, float [T, 3, H, W]."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

Strength = Annotated[float, Field(ge=0, le=1)]
_LUMA = (0.299, 0.587, 0.114)


class PhotometricSettings(BaseModel):
    """How strongly each property may change; 0 turns a change off.

    Brightness, contrast, saturation and gamma are drawn in 1 +- strength, the colour cast within +- strength.
    Each frame deviates from the clip's draw by `per_frame` of it.  `noise` is the largest standard deviation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    brightness: Strength = 0.3
    contrast: Strength = 0.3
    saturation: Strength = 0.3
    gamma: Strength = 0.2
    cast: Strength = 0.05
    shading: Strength = 0.15
    noise: Strength = 0.02
    per_frame: Strength = 0.3
    blur_probability: Strength = 0.3
    blur_sigma: Annotated[float, Field(gt=0)] = 1.2


def change_photometry(frames: Tensor, settings: PhotometricSettings, rng: np.random.Generator) -> Tensor:
    """A clip [T, 3, H, W] under other light, another camera and noise; clipped to 0..1."""
    count = len(frames)

    def factor(strength: float, channels: int = 1) -> Tensor:
        draws = rng.uniform(-strength, strength, (1, channels, 1, 1))
        deviations = rng.uniform(-strength, strength, (count, channels, 1, 1)) * settings.per_frame
        return torch.from_numpy(1 + draws + deviations).to(frames)

    out = frames * factor(settings.brightness) * _shading(frames, settings.shading, rng)
    out = (out - out.mean((1, 2, 3), keepdim=True)) * factor(settings.contrast) + out.mean((1, 2, 3), keepdim=True)
    grey = (out * torch.tensor(_LUMA).to(out)[:, None, None]).sum(1, keepdim=True)
    out = grey + (out - grey) * factor(settings.saturation) + factor(settings.cast, channels=3) - 1
    out = out.clamp(0, 1) ** factor(settings.gamma).clamp_min(0.1)
    if rng.random() < settings.blur_probability:
        out = gaussian_blur(out, float(rng.uniform(0.1, settings.blur_sigma)))
    noise = rng.standard_normal(tuple(out.shape), np.float32) * rng.uniform(0, settings.noise)
    return (out + torch.from_numpy(noise).to(out)).clamp(0, 1)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """`images` [N, C, H, W] blurred with a Gaussian of `sigma` pixels, borders reflected."""
    radius = min(int(np.ceil(3 * sigma)), *(size - 1 for size in images.shape[-2:]))
    if radius < 1:
        return images
    steps = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded, kernel[:, :, None, :], groups=images.shape[1])
    return F.conv2d(rows, kernel[:, :, :, None], groups=images.shape[1])


def _shading(frames: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """A brightness ramp across each frame, about 1 +- strength, turning slowly over the clip: [T, 1, H, W]."""
    count, _, height, width = frames.shape
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.uniform(-0.2, 0.2, count))
    slope = rng.uniform(0, strength)
    y = torch.linspace(-1, 1, height).to(frames)[:, None]
    x = torch.linspace(-1, 1, width).to(frames)
    cosine, sine = (torch.from_numpy(part).to(frames)[:, None, None] for part in (np.cos(angle), np.sin(angle)))
    return (1 + slope * (cosine * x + sine * y))[:, None]
