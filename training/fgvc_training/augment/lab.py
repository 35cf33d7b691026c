"""RGB frames to the encoder's input and back: CIE Lab, normalised.  The exact formula, batched, on any device.

The runtime uses OpenCV's Lab, which reads a 33^3 table; normalised values differ by at most 0.004 (goldens item 3).
"""

from __future__ import annotations

import torch
from torch import Tensor

MEAN = (50.0, 0.0, 0.0)
STD = (50.0, 127.0, 127.0)
# sRGB primaries to CIE XYZ, D65, each row divided by the white point.
_RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.950456, 1.0, 1.088754)
_LINEAR_BELOW = (6 / 29) ** 3


def normalized_lab(rgb: Tensor) -> Tensor:
    """RGB in 0..1, float [.., 3, H, W] -> Lab minus MEAN over STD, about -1..1, same shape."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp_min(0) ** 2.4)
    matrix = torch.tensor(_RGB_TO_XYZ, dtype=rgb.dtype, device=rgb.device)
    white = torch.tensor(_WHITE, dtype=rgb.dtype, device=rgb.device)
    xyz = torch.einsum("ij,...jhw->...ihw", matrix / white[:, None], linear)
    f = torch.where(xyz > _LINEAR_BELOW, xyz.clamp_min(1e-12) ** (1 / 3), xyz * (841 / 108) + 4 / 29)
    fx, fy, fz = f.unbind(-3)
    lab = torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)
    mean, std = (torch.tensor(values, dtype=rgb.dtype, device=rgb.device)[:, None, None] for values in (MEAN, STD))
    return (lab - mean) / std


def rgb_of_normalized_lab(lab: Tensor) -> Tensor:
    """The inverse of `normalized_lab`: [.., 3, H, W] -> RGB; colours outside of sRGB are clipped to 0..1."""
    mean, std = (torch.tensor(values, dtype=lab.dtype, device=lab.device)[:, None, None] for values in (MEAN, STD))
    lightness, a, b = (lab * std + mean).unbind(-3)
    fy = (lightness + 16) / 116
    f = torch.stack((fy + a / 500, fy, fy - b / 200), dim=-3)
    xyz = torch.where(f > 6 / 29, f**3, (f - 4 / 29) * (108 / 841))
    matrix, white = (torch.tensor(values, dtype=lab.dtype, device=lab.device) for values in (_RGB_TO_XYZ, _WHITE))
    linear = torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(matrix / white[:, None]), xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-12) ** (1 / 2.4) - 0.055)
