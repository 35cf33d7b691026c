"""The whole training loss of one batch, in the order of the published step: video first, then synthetic.

The order matters: batch norm's running statistics and the channel dropout's random stream see both halves in turn
(goldens items 34-39).  Optimisers, schedules and data loading are the trainer's.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from fgvc_training.augment.lab_dropout import draw_dropped_channel
from fgvc_training.correlation import attention_logits
from fgvc_training.errors import ShapeError
from fgvc_training.losses.adversarial import adversarial_loss
from fgvc_training.losses.reconstruction import reconstruction_loss
from fgvc_training.losses.soft_label import flow_on_features, soft_label_loss, teacher_logits, valid_pixels
from fgvc_training.occlusion import visible_by_consistency
from fgvc_training.pairs import EncodedPair, encode_pair
from fgvc_training.quirks import Quirks

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rng = np.random.RandomState | np.random.Generator


class ObjectiveSettings(BaseModel):
    """Settings of the training loss; defaults are the paper's (radius 24 feature pixels, weights 1).

    A term with weight 0 is not computed.  `temperature` divides cosines of student and teacher.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stride: Annotated[int, Field(ge=1)] = 2
    radius: Annotated[int, Field(ge=1)] = 24
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.07
    reconstruction_weight: Weight = 1.0
    soft_label_weight: Weight = 1.0
    adversarial_weight: Weight = 1.0
    quirks: Quirks = Quirks()

    @property
    def window_entries(self) -> int:
        """Entries of a correlation window: the discriminator's input size."""
        return (2 * self.radius + 1) ** 2


class TrainingBatch(NamedTuple):
    """One step's data, Lab-normalised float images.

    `video`, `synthetic` [B, n, 3, H, W]: frame 0 is the reference, the last frame the target.  `flow` [B, 2, H, W]:
    (x, y) pixels from the synthetic target frame to its reference frame, `flow_back` the other way; `visible` bool
    [B, H, W], where known exactly: target pixels that the reference frame shows (else estimated from the flows).
    """

    video: Tensor
    synthetic: Tensor
    flow: Tensor
    flow_back: Tensor | None = None
    visible: Tensor | None = None


class LossTerms(NamedTuple):
    """Weighted terms of the loss (scalars; a term with weight 0 is 0) and their sum.

    In the published code's names: l1_loss, sup_loss, corr_da_loss.
    """

    reconstruction: Tensor
    soft_label: Tensor
    adversarial: Tensor

    @property
    def total(self) -> Tensor:
        """What to call backward on."""
        return self.reconstruction + self.soft_label + self.adversarial


class TrainingObjective(nn.Module):
    """Encoder, frozen teacher and discriminator with the loss that trains them.

    `encoder` and `teacher` map images [N, 3, H, W] to features [N, C, ceil(H/stride), ceil(W/stride)].  The teacher
    stays in eval mode and gets no gradient.  For several processes wrap this whole module in DistributedDataParallel
    (the encoder runs twice per step) and set `across_processes`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        teacher: nn.Module,
        discriminator: nn.Module | None,
        settings: ObjectiveSettings,
        *,
        across_processes: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.teacher = teacher.requires_grad_(False)
        self.discriminator = discriminator
        self.settings = settings
        self.across_processes = across_processes
        self.train(self.training)

    def train(self, mode: bool = True) -> TrainingObjective:
        """Set training mode of everything but the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: TrainingBatch, rng: Rng) -> LossTerms:
        """All terms for one batch; `rng` draws the dropped channels: first the video's, then the synthetic pair's."""
        settings = self.settings
        adversarial = settings.adversarial_weight > 0
        video = self._encode(batch.video, rng) if adversarial or settings.reconstruction_weight > 0 else None
        synthetic = self._encode(batch.synthetic, rng) if adversarial or settings.soft_label_weight > 0 else None
        reconstruction = soft_label = domain = batch.video.new_zeros(())
        if video is not None and settings.reconstruction_weight > 0:
            reconstruction = settings.reconstruction_weight * self._reconstruction(video)
        if synthetic is not None and settings.soft_label_weight > 0:
            soft_label = settings.soft_label_weight * self._soft_label(synthetic, batch)
        if video is not None and synthetic is not None and adversarial:
            domain = settings.adversarial_weight * self._adversarial(synthetic, video)
        return LossTerms(reconstruction, soft_label, domain)

    def _encode(self, clip: Tensor, rng: Rng) -> EncodedPair:
        return encode_pair(
            self.encoder,
            clip,
            draw_dropped_channel(rng),
            stride=self.settings.stride,
            radius=self.settings.radius,
            in_place=self.settings.quirks.dropout_in_place,
        )

    def _reconstruction(self, pair: EncodedPair) -> Tensor:
        settings = self.settings
        raw = settings.quirks.raw_features_in_reconstruction
        return reconstruction_loss(
            pair.raw if raw else pair.cosine,
            pair.dropped[:, 0],
            pair.dropped[:, -1],
            radius=settings.radius,
            stride=settings.stride,
            temperature=pair.target.shape[1] ** 0.5 if raw else settings.temperature,
            quirks=settings.quirks,
        )

    def _soft_label(self, pair: EncodedPair, batch: TrainingBatch) -> Tensor:
        radius, temperature, quirks = self.settings.radius, self.settings.temperature, self.settings.quirks
        stride = 2 if quirks.flow_always_halved else self.settings.stride
        flow = flow_on_features(batch.flow, stride)
        visible = self._visible(batch)[:, ::stride, ::stride]
        valid = valid_pixels(flow, visible, radius, targets_outside_image=quirks.targets_outside_image)
        with torch.no_grad():
            labels = teacher_logits(self.teacher(pair.clean[:, 0]), flow, radius, temperature, quirks)
        logits = attention_logits(pair.cosine, radius, temperature, padding_competes=quirks.padding_competes)
        return soft_label_loss(logits, labels, valid, quirks, across_processes=self.across_processes)

    def _visible(self, batch: TrainingBatch) -> Tensor:
        if batch.visible is not None:
            return batch.visible
        if batch.flow_back is None:
            raise ShapeError("a batch needs flow_back or visible: without them occluded pixels cannot be left out")
        return visible_by_consistency(batch.flow, batch.flow_back, self.settings.quirks)

    def _adversarial(self, synthetic: EncodedPair, video: EncodedPair) -> Tensor:
        if self.discriminator is None:
            raise ShapeError("the adversarial term has a weight but there is no discriminator: pass one, or weight 0")
        raw = self.settings.quirks.raw_features_in_adversarial
        return adversarial_loss(
            self.discriminator, synthetic.raw if raw else synthetic.cosine, video.raw if raw else video.cosine
        )
