"""A clip encoded with one colour channel hidden; its correlation volumes are computed once, for all losses."""

from __future__ import annotations

from functools import cached_property

import torch.nn.functional as F
from torch import Tensor, nn

from fgvc_training.augment.lab_dropout import drop_channel
from fgvc_training.correlation import local_correlation
from fgvc_training.errors import ShapeError


class EncodedPair:
    """Target and reference features [B, C, h, w] of a clip, the clip before dropout, and the channel dropped."""

    def __init__(self, target: Tensor, reference: Tensor, clean: Tensor, channel: int, radius: int) -> None:
        self.target = target
        self.reference = reference
        self.clean = clean
        self.channel = channel
        self.radius = radius

    @property
    def dropped(self) -> Tensor:
        """The hidden channel of every frame, [B, n, 1, H, W]."""
        return self.clean[:, :, self.channel : self.channel + 1]

    @cached_property
    def cosine(self) -> Tensor:
        """Cosine of every target pixel with the reference window around it, [B, h, w, K]."""
        return local_correlation(F.normalize(self.target, dim=1), F.normalize(self.reference, dim=1), self.radius)

    @cached_property
    def raw(self) -> Tensor:
        """Dot product of un-normalised features, [B, h, w, K]."""
        return local_correlation(self.target, self.reference, self.radius)


def encode_pair(
    encoder: nn.Module, clip: Tensor, channel: int, *, stride: int, radius: int, in_place: bool = False
) -> EncodedPair:
    """Hide `channel` of a clip [B, n, 3, H, W] and encode all its frames in one pass of `encoder`.

    Frame 0 is the reference, the last frame the target.  Raises ShapeError if the features are not
    ceil(H / stride) x ceil(W / stride).
    """
    clean = clip.clone()
    seen = drop_channel(clip, channel, in_place=in_place)
    features = encoder(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
    expected = tuple(-(-size // stride) for size in clip.shape[-2:])
    if tuple(features.shape[-2:]) != expected:
        raise ShapeError(
            f"features are {tuple(features.shape[-2:])} for images of {tuple(clip.shape[-2:])}, "
            f"not {expected}: set stride in the objective's settings to the encoder's"
        )
    return EncodedPair(features[:, -1], features[:, 0], clean, channel, radius)
