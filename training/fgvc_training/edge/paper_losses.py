"""The paper's three losses for sampled queries of edge pairs: optional terms, weight 0 unless a run asks for them.

The forms are those of `fgvc_training.losses`; here is what the edge encoder needs otherwise: it sees RGB, its teacher
is its own frozen trunk, and a batch mixes synthetic and real pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgvc_training.augment.lab import normalized_lab, rgb_of_normalized_lab
from fgvc_training.augment.lab_dropout import COLOUR_CHANNELS, draw_dropped_channel
from fgvc_training.discriminator import CorrelationDiscriminator
from fgvc_training.edge.attention import circle_logits, gather_pixels, window_cosines
from fgvc_training.edge.batch import PairTensors, Queries
from fgvc_training.edge.prepare import denormalise, normalise
from fgvc_training.edge.settings import LossSettings
from fgvc_training.encoder.edge import HEAD_CHANNELS
from fgvc_training.losses.adversarial import adversarial_loss
from fgvc_training.losses.reconstruction import CHANNEL_SCALE
from fgvc_training.losses.reduce import mean_over
from fgvc_training.losses.soft_label import soft_label_loss
from fgvc_training.sampling import sample


class PaperLosses(nn.Module):
    """Reconstruction, teacher and adversary.  `synthetic` is the share of synthetic pairs in the run.

    The discriminator is made, and random numbers are drawn, only for terms with a weight: a run without them is the
    same as if this module did not exist.
    """

    def __init__(self, settings: LossSettings, synthetic: float) -> None:
        super().__init__()
        self.settings = settings
        self.synthetic = synthetic
        self.discriminator: CorrelationDiscriminator | None = None
        if settings.adversarial_weight > 0:
            entries = (2 * settings.adversarial_radius + 1) ** 2
            self.discriminator = CorrelationDiscriminator(entries, settings.adversarial_reversal)

    def forward(
        self, encoder: nn.Module, features: Tensor, batch: PairTensors, queries: Queries, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Weighted terms by name; `features` [B, 2, C, h, w] are those of the batch's frames."""
        settings, terms = self.settings, {}
        if settings.reconstruction_weight > 0:
            value = self._reconstruction(encoder, batch, queries, rng)
            terms["reconstruction"] = settings.reconstruction_weight * value
        if settings.teacher_weight > 0:
            terms["teacher"] = settings.teacher_weight * self._teacher(features, batch, queries)
        if settings.adversarial_weight > 0:
            terms["adversarial"] = settings.adversarial_weight * self._adversary(features, batch, rng)
        return terms

    def _reconstruction(
        self, encoder: nn.Module, batch: PairTensors, queries: Queries, rng: np.random.Generator
    ) -> Tensor:
        """A pass of its own over `reconstruction_pairs` pairs, so that all other terms see frames with colour."""
        settings = self.settings
        channel = draw_dropped_channel(rng)
        # Real pairs first, but always as many: synced batch norm waits for every process.
        picked = batch.synthetic.byte().argsort(stable=True)[: settings.reconstruction_pairs]
        frames = without_channel(batch.frames[picked], channel)
        with kept_statistics(encoder):
            features: Tensor = encoder(frames.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        reference, target = features.float().unflatten(0, (-1, 2)).unbind(1)  # type: ignore[no-untyped-call]
        chosen = queries.chosen[picked]
        query = gather_pixels(target, chosen)
        logits = circle_logits(query, reference, queries.own[picked], settings.radius, settings.temperature)
        colours = batch.colours[picked, :, COLOUR_CHANNELS.index(channel)].flatten(2)
        return rebuilt_channel_loss(logits, colours[:, 0], colours[:, 1].gather(1, chosen), ~batch.synthetic[picked])

    def _teacher(self, features: Tensor, batch: PairTensors, queries: Queries) -> Tensor:
        """Synthetic pairs only; a batch may have none, and the term is then 0."""
        settings = self.settings
        reference, target = features[batch.synthetic].unbind(1)
        asked = Queries(*(part[batch.synthetic] for part in queries))
        labels = trunk_labels(reference, asked, settings.radius, settings.teacher_temperature)
        query = gather_pixels(target, asked.chosen)
        logits = circle_logits(query, reference, asked.own, settings.radius, settings.temperature)
        return soft_label_loss(logits.float(), labels.float(), asked.known)

    def _adversary(self, features: Tensor, batch: PairTensors, rng: np.random.Generator) -> Tensor:
        """Pixels are drawn alike in all pairs: where the other terms ask differs between synthetic and real ones."""
        assert self.discriminator is not None
        reference, target = features.unbind(1)
        pixels = rng.integers(target[0, 0].numel(), size=(len(target), self.settings.queries))
        chosen = torch.from_numpy(pixels).to(target.device)
        cosines = window_cosines(gather_pixels(target, chosen), reference, chosen, self.settings.adversarial_radius)
        # As logits: on plain cosines, mostly below .5, the discriminator needs hundreds of steps to learn anything.
        windows = cosines / self.settings.temperature
        return balanced_adversarial_loss(self.discriminator, windows, batch.synthetic, self.synthetic)


@torch.no_grad()
def without_channel(frames: Tensor, channel: int) -> Tensor:
    """The encoder's input [.., 3, H, W] with the Lab channel 1 (a) or 2 (b) set to grey's value.

    The other channels keep their values, unlike in `drop_channel`: 3/2 of them is what dropout owes a network that
    learns from such images alone, while a trunk trained on photographs would see over-exposed ones.
    """
    # bf16 sums would let the channel shine through the others.
    with torch.autocast(frames.device.type, enabled=False):
        lab = normalized_lab(denormalise(frames.float()))
        lab.select(-3, channel).zero_()
        return normalise(rgb_of_normalized_lab(lab))


@contextmanager
def kept_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm uses the batch's statistics but leaves the running ones, which are exported, as they are."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def rebuilt_channel_loss(logits: Tensor, reference: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """SmoothL1 of `target` [B, Q] with `reference` [B, K] as the attention `logits` [B, Q, K] rebuilds it.

    Mean over the queries of pairs that are `real` bool [B] (FGVC section 3.3; scaled as in `losses.reconstruction`).
    """
    # No matmul: under autocast it would round the colours.
    rebuilt = (logits.float().softmax(-1) * reference[:, None]).sum(-1)
    values = F.smooth_l1_loss(CHANNEL_SCALE * rebuilt, CHANNEL_SCALE * target, reduction="none")
    return mean_over(values, real[:, None].expand_as(values))


@torch.no_grad()
def trunk_labels(reference: Tensor, queries: Queries, radius: float, temperature: float) -> Tensor:
    """Soft labels of the ImageNet levels in an encoder's features [B, C, h, w], as logits [B, Q, K].

    Within the reference frame: the feature where the query's flow ends against those in the query's circle (FGVC
    section 3.2; `losses.soft_label.teacher_logits` for sampled queries).
    """
    levels = F.normalize(reference[:, :-HEAD_CHANNELS], dim=1)
    found = sample(levels, queries.goal[:, None])[:, :, 0].transpose(1, 2)
    return circle_logits(found, levels, queries.own, radius, temperature)


def balanced_adversarial_loss(discriminator: nn.Module, windows: Tensor, synthetic: Tensor, share: float) -> Tensor:
    """`losses.adversarial` of `windows` [B, Q, K], where both kinds count alike over a run with that synthetic share.

    Weighted by the share in the run, not in the batch: a batch of one kind alone still counts, and every process of
    several has the same weights.
    """
    none = windows[:0]
    kinds = (
        (synthetic, share, (windows[synthetic], none)),
        (~synthetic, 1 - share, (none, windows[~synthetic])),
    )
    losses = [
        mask.float().mean() / (2 * of_kind) * adversarial_loss(discriminator, *pair)
        for mask, of_kind, pair in kinds
        if mask.any()
    ]
    return torch.stack(losses).sum()
