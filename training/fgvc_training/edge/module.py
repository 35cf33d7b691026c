"""The trained module: encoder, and the losses of a batch of pairs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fgvc_training.edge.attention import circle_logits, gather_pixels, raster_to_xy
from fgvc_training.edge.batch import PairTensors, Queries
from fgvc_training.edge.losses import bilinear_labels, cycle_loss, identity_loss, matching_loss
from fgvc_training.edge.paper_losses import PaperLosses
from fgvc_training.edge.settings import LossSettings
from fgvc_training.encoder.edge import EdgeEncoder
from fgvc_training.sampling import inside_image, pixel_positions


class EdgeModule(nn.Module):
    """Loss terms of a batch.  The trunk's batch norm stays in eval mode: its statistics are ImageNet's.

    `synthetic` is the share of synthetic pairs in the run.
    """

    def __init__(self, encoder: EdgeEncoder, settings: LossSettings, synthetic: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.settings = settings
        self.paper = PaperLosses(settings, synthetic)

    def train(self, mode: bool = True) -> EdgeModule:
        """Set training mode of everything but the trunk."""
        super().train(mode)
        self.encoder.trunk.eval()
        return self

    def forward(self, batch: PairTensors, rng: np.random.Generator) -> dict[str, Tensor]:
        """Weighted terms by name: matching, identity, cycle, then the paper's; those of weight 0 are left out."""
        frames = batch.frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.encoder(frames).float().unflatten(0, batch.frames.shape[:2])
        queries = self._queries(batch, self._choose(batch, rng))
        # The paper's last: their draws must not change what the others see.
        terms = self._terms(features, batch, queries, rng)
        paper: dict[str, Tensor] = self.paper(self.encoder, features, batch, queries, rng)
        return terms | paper

    def _queries(self, batch: PairTensors, chosen: Tensor) -> Queries:
        height, width = batch.valid.shape[1:]
        own = raster_to_xy(chosen, width)
        flow = gather_pixels(batch.flow, chosen)
        goal = own + flow
        valid = gather_pixels(batch.valid[:, None].float(), chosen)[..., 0] > 0
        known = valid & inside_image(goal, height, width) & (flow.norm(dim=-1) < self.settings.radius - 2)
        return Queries(chosen, own, goal, known)

    def _terms(
        self, features: Tensor, batch: PairTensors, queries: Queries, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """`features` [B, 2, C, h, w]."""
        settings = self.settings
        reference, target = features.unbind(1)
        chosen, own, goal, known = queries
        query = gather_pixels(target, chosen)
        # Where nothing is known of a pixel's motion the circle lies around the pixel itself, as in propagation.
        logits = circle_logits(query, reference, own, settings.radius, settings.temperature)
        terms = {}
        if settings.matching_weight > 0:
            positions = torch.where(known[..., None], goal, own)
            labels = bilinear_labels(positions, reference.shape[2], reference.shape[3])
            terms["matching"] = settings.matching_weight * matching_loss(logits, labels, known)
        if settings.identity_weight > 0:
            query_ids = batch.ids[:, 1].flatten(1).gather(1, chosen)
            # The cosines again, for another circle.
            logits = circle_logits(query, reference, own, settings.identity_radius, settings.identity_temperature)
            terms["identity"] = settings.identity_weight * identity_loss(
                logits, query_ids, batch.ids[:, 0].flatten(1)
            )
        if settings.cycle_weight > 0:
            terms["cycle"] = settings.cycle_weight * self._cycle(reference, target, rng)
        return terms

    def _cycle(self, reference: Tensor, target: Tensor, rng: np.random.Generator) -> Tensor:
        settings = self.settings
        step = settings.cycle_step
        top, left = (int(value) for value in rng.integers(0, step, 2))
        thin_r, thin_t = (maps[:, :, top::step, left::step].flatten(2) for maps in (reference, target))
        there = torch.matmul(thin_t.transpose(1, 2), thin_r) / settings.temperature
        thin_hw = target[0, 0, top::step, left::step].shape
        positions = step * pixel_positions(thin_hw[0], thin_hw[1], target).flatten(0, 1)
        distance = torch.cdist(positions, positions)
        there = there.masked_fill(distance >= settings.radius, -torch.inf)
        return cycle_loss(there, there.transpose(1, 2), distance < settings.cycle_reach)

    def _choose(self, batch: PairTensors, rng: np.random.Generator) -> Tensor:
        """Raster positions int64 [B, Q] of target pixels: a share of each kind, the others anywhere."""
        settings = self.settings
        rows = []
        for ids, valid in zip(batch.ids[:, 1].numpy(), batch.valid.numpy(), strict=True):
            everywhere = np.arange(ids.size)
            borders, objects = np.flatnonzero(near_border(ids)), np.flatnonzero(ids > 0)
            matched = np.flatnonzero(valid)
            shares = (
                (borders, settings.on_border),
                (objects, settings.on_object),
                (matched, settings.on_matched),
            )
            row = [rng.choice(part, round(share * settings.queries)) for part, share in shares if len(part)]
            rest = settings.queries - sum(map(len, row))
            rows.append(np.concatenate([*row, rng.choice(everywhere, rest)]))
        return torch.from_numpy(np.stack(rows)).to(batch.flow.device)


def near_border(ids: NDArray[np.int64], reach: int = 2) -> NDArray[np.bool_]:
    """Pixels of [h, w] with another id within `reach` rows and columns."""
    padded = np.pad(ids, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    border: NDArray[np.bool_] = windows.max((2, 3)) != windows.min((2, 3))
    return border
