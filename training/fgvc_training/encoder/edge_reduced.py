"""The edge encoder with half the channels: principal components of its parts, measured on frames, nothing learnt.

Matching costs in proportion to the channels, and a frame spends most of its time there; tracks are as good with 128
of them as with all 240 (docs/edge-encoder.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgvc_training.encoder.edge import LEVELS, Centred, EdgeEncoder, EdgeFeatures
from fgvc_training.encoder.efficientnet_lite import unit_length

KEPT = (16, 24, 48, 40)
"""Components of the ImageNet levels of stride 4, 8 and 16 and of the head."""


class Components(nn.Module):
    """[N, C, h, w] minus a mean, in the directions of `basis`, scaled to unit length per pixel: [N, kept, h, w].

    `mean` [C] and the orthonormal rows of `basis` [kept, C] are measured, not learnt.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, channels: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("basis", torch.eye(kept, channels))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return unit_length(F.conv2d(x - self.mean[:, None, None], self.basis[:, :, None, None]))


class ReducedEdgeEncoder(EdgeFeatures):
    """128 channels: components of the ImageNet levels of stride 4, 8, 16 (16 + 24 + 48), then the head's 40."""

    def __init__(self) -> None:
        super().__init__(KEPT[3])
        self.components = nn.ModuleList(Components(*sizes) for sizes in zip(LEVELS, KEPT, strict=False))

    def level_parts(self) -> nn.ModuleList:
        """See `EdgeFeatures`."""
        return self.components


@torch.no_grad()
def reduce_encoder(encoder: EdgeEncoder, frames: Iterable[Tensor]) -> ReducedEdgeEncoder:
    """The encoder in the directions in which its features differ most on RGB frames [1, 3, H, W], normalised.

    The parts are unit vectors again afterwards, so that a cosine keeps the parts' shares.  Raises ValueError when
    there are no frames.
    """
    bases = principal_directions(encoder, frames)
    reduced = ReducedEdgeEncoder().eval()
    reduced.trunk.load_state_dict(encoder.trunk.state_dict())
    for part, centred, basis in zip(reduced.components, encoder.centred, bases, strict=False):
        assert isinstance(part, Components)
        assert isinstance(centred, Centred)
        part.mean.copy_(centred.mean)
        part.basis.copy_(basis)
    # Directions of h / |h| are directions of h, so the head's go into its last convolution.
    state = encoder.head.state_dict()
    state["out.weight"] = torch.einsum("kc,cwij->kwij", bases[3], state["out.weight"])
    state["out.bias"] = bases[3] @ state["out.bias"]
    reduced.head.load_state_dict(state)
    return reduced


def principal_directions(encoder: EdgeEncoder, frames: Iterable[Tensor]) -> list[Tensor]:
    """KEPT orthonormal rows [kept, C] for each part: eigenvectors of the mean of x x^T over its unit vectors x."""
    sums: list[Tensor] = []
    for frame in frames:
        parts = [part.transpose(0, 1).flatten(1).double() for part in encoder.unit_parts(frame)]
        moments = [part @ part.T for part in parts]
        sums = [total + moment for total, moment in zip(sums, moments, strict=True)] if sums else moments
    if not sums:
        raise ValueError("there are no frames to measure components on")
    # Eigenvalues ascend, and vectors are columns.
    return [
        torch.linalg.eigh(total).eigenvectors.flip(1)[:, :kept].T.float()
        for total, kept in zip(sums, KEPT, strict=True)
    ]
