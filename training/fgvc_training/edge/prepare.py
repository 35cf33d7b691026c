"""From a raw pair to a training sample: crop and enlarge both frames alike, change colours, thin the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fgvc_training.augment.crop import flip_flow, random_area_box, resize
from fgvc_training.augment.lab import normalized_lab
from fgvc_training.augment.photometric import change_photometry
from fgvc_training.edge.batch import PairTensors
from fgvc_training.edge.pairs import UNKNOWN, RawPair
from fgvc_training.edge.settings import PairSettings
from fgvc_training.sampling import inside_image, sample

STRIDE = 4
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(rgb: Tensor) -> Tensor:
    """RGB in 0..1, [.., 3, H, W] -> the encoder's input."""
    mean, std = (torch.tensor(values)[:, None, None].to(rgb) for values in (MEAN, STD))
    return (rgb - mean) / std


def denormalise(frames: Tensor) -> Tensor:
    """The inverse of `normalise`."""
    mean, std = (torch.tensor(values)[:, None, None].to(frames) for values in (MEAN, STD))
    return frames * std + mean


def prepare_pair(pair: RawPair, settings: PairSettings, rng: np.random.Generator) -> PairTensors:
    """One pair cropped to `settings.size` squared; labels are read at the pixels (4i, 4j) of the crop."""
    frames = torch.from_numpy(np.ascontiguousarray(pair.frames)).permute(0, 3, 1, 2).float() / 255
    box = random_area_box((frames.shape[2], frames.shape[3]), settings.area, settings.aspect, rng)
    scale = torch.tensor((settings.size / box.width, settings.size / box.height))
    cropped = resize(box.cut(frames), (settings.size, settings.size)).clamp(0, 1)
    centres = _feature_centres(settings.size, scale)
    flow = sample(box.cut(pair.flow)[None], centres)[0] * (scale / STRIDE)[:, None, None]
    nearest = centres[0].round().long()
    x, y = nearest[..., 0].clamp(0, box.width - 1), nearest[..., 1].clamp(0, box.height - 1)
    valid, ids = box.cut(pair.valid)[y, x], box.cut(torch.from_numpy(pair.ids))[:, y, x].long()
    ids = torch.where(ids == UNKNOWN, -1, ids)
    corner = torch.tensor((box.left, box.top))
    put_points(flow, valid, ((torch.from_numpy(pair.points) - corner + 0.5) * scale - 0.5) / STRIDE)
    colours = normalized_lab(cropped[..., ::STRIDE, ::STRIDE])[:, 1:]
    if settings.photometric is not None:
        cropped = change_photometry(cropped, settings.photometric, rng)
    return PairTensors(normalise(cropped), flow, valid, ids, colours, torch.tensor(pair.synthetic))


def put_points(flow: Tensor, valid: Tensor, points: Tensor) -> None:
    """Write point matches [2, N, 2] (reference, target; feature pixels) into `flow` [2, h, w] and `valid` [h, w].

    A point speaks for the feature nearest to it in the target, as if that one moved alike: they are at most half a
    feature apart.  Points outside either frame say nothing.
    """
    height, width = valid.shape
    inside = inside_image(points, height, width).all(0)
    reference, target = points[:, inside]
    x, y = target.round().long().unbind(-1)
    flow[:, y, x] = (reference - target).T
    valid[y, x] = True


def _feature_centres(size: int, scale: Tensor) -> Tensor:
    """Where the pixels (4i, 4j) of the resized crop lie in the crop itself, (x, y) [1, h, w, 2]."""
    at = torch.arange(0, size, STRIDE, dtype=torch.float32)
    y, x = torch.meshgrid(at, at, indexing="ij")
    return ((torch.stack((x, y), dim=-1) + 0.5) / scale - 0.5).clamp_min(0)[None]


def mirrored(pair: RawPair) -> RawPair:
    """The pair seen in a mirror."""
    points = pair.points.copy()
    points[..., 0] = pair.frames.shape[2] - 1 - points[..., 0]
    return pair._replace(
        frames=pair.frames[:, :, ::-1],
        flow=flip_flow(pair.flow),
        valid=pair.valid.flip(-1),
        ids=pair.ids[:, :, ::-1].copy(),
        points=points,
    )


def collate(samples: Sequence[PairTensors]) -> PairTensors:
    """Single pairs, stacked to a batch."""
    return PairTensors(*(torch.stack(parts) for parts in zip(*samples, strict=True)))
