"""How a layer moves: a homography per frame, after a low-frequency non-rigid warp of the layer itself.

A frame pixel y belongs to layer position p = q + sum_k a_k(t) sin(w_k . q + phase_k), q = H_t^-1 y.  This direction
is explicit, as rendering needs it; the other is found by fixed-point iteration, which converges because the warp is
a contraction (sum |a_k| |w_k| < 0.5 is enforced).  Positions are (x, y) float64, integer = pixel centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fgvc_training.errors import ShapeError

MAX_SLOPE = 0.5
"""Largest allowed derivative of the warp; the iteration's error shrinks by it every step."""
ITERATIONS = 60
SETTLED = 1e-10
"""Pixels; the iteration stops once it moves no point further than this.  0.5**60 of any warp is below it."""


@dataclass(frozen=True)
class Motion:
    """Motion of one layer over T frames.

    `matrices` [T, 3, 3]: homographies, layer -> frame pixels; `amplitudes` [T, K, 2] in layer pixels; `waves` [K, 2]
    in radians per layer pixel; `phases` [K].  All float64.  Raises ShapeError if the warp could fold.
    """

    matrices: Tensor
    amplitudes: Tensor
    waves: Tensor
    phases: Tensor

    def __post_init__(self) -> None:
        slope = (self.amplitudes.norm(dim=-1) * self.waves.norm(dim=-1)).sum(-1)
        if float(slope.max()) >= MAX_SLOPE:
            raise ShapeError(f"a warp with slope {float(slope.max()):.2f} may fold: keep it below {MAX_SLOPE}")

    def __len__(self) -> int:
        return len(self.matrices)

    def to_layer(self, frame: int, xy: Tensor) -> Tensor:
        """Frame positions [.., 2] -> layer positions."""
        rigid = project(torch.linalg.inv(self.matrices[frame]), xy)
        return rigid + self._warp(frame, rigid)

    def to_frame(self, frame: int, xy: Tensor) -> Tensor:
        """Layer positions [.., 2] -> frame positions; the inverse of `to_layer`."""
        rigid = xy - self._warp(frame, xy)
        for _ in range(ITERATIONS):
            last, rigid = rigid, xy - self._warp(frame, rigid)
            if not rigid.numel() or float((rigid - last).abs().max()) < SETTLED:
                break
        return project(self.matrices[frame], rigid)

    def bounds(self, frame: int, layer_hw: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in the frame of a layer of this size: nothing of it lies outside."""
        reach = self.amplitudes[frame].abs().sum(0) + 1
        low, high = -reach, torch.tensor((layer_hw[1] - 1, layer_hw[0] - 1)) + reach
        corners = torch.stack([torch.stack((x, y)) for x in (low[0], high[0]) for y in (low[1], high[1])])
        left_top, right_bottom = project(self.matrices[frame], corners).aminmax(dim=0)
        return float(left_top[0]), float(left_top[1]), float(right_bottom[0]), float(right_bottom[1])

    def _warp(self, frame: int, xy: Tensor) -> Tensor:
        return torch.sin(xy @ self.waves.T + self.phases) @ self.amplitudes[frame]


def project(matrix: Tensor, xy: Tensor) -> Tensor:
    """Positions [.., 2] through a homography [3, 3]."""
    projected = xy @ matrix[:, :2].T + matrix[:, 2]
    return projected[..., :2] / projected[..., 2:]
