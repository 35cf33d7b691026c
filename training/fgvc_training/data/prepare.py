"""From frames to a batch of the training objective: crop, augment, Lab, stack.

All randomness comes from the generator passed in, so a sample is a function of (data, settings, generator state).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fgvc_training.augment.crop import flip_flow, random_area_box, random_box, resize
from fgvc_training.augment.lab import normalized_lab
from fgvc_training.augment.photometric import PhotometricSettings, change_photometry, gaussian_blur
from fgvc_training.data.sources import FlowPair
from fgvc_training.objective import TrainingBatch
from fgvc_training.occlusion import visible_by_consistency

Side = Annotated[int, Field(ge=8)]
Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0)]


class PrepareSettings(BaseModel):
    """Crops and augmentations; defaults are the paper's, except that it gives no blur widths.

    Videos: a box of `area` and `aspect` is resized to `size`.  Pairs: a box of `size` is cut out, so that flow stays
    exact.  Both: mirrored with `flip`, blurred alike in all frames with `blur`, then `photometric` changes, if any.
    `visible_from_crop` leaves visibility to be estimated by the loss from the cropped flows, as published, so what
    moves out of the crop counts as hidden; else it comes from the whole frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[Side, Side] = (256, 256)
    area: tuple[Share, Share] = (0.6, 1.0)
    aspect: tuple[Ratio, Ratio] = (1.5, 2.0)
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    blur: Annotated[float, Field(ge=0, le=1)] = 0.8
    blur_sigma: tuple[Ratio, Ratio] = (0.1, 2.0)
    photometric: PhotometricSettings | None = None
    visible_from_crop: bool = False


class PreparedPair(NamedTuple):
    """`images` [2, 3, H, W]: reference, target; `flow` [2, H, W] target -> reference.

    Either `visible` bool [H, W] or, for the loss to estimate it, `flow_back` [2, H, W].
    """

    images: Tensor
    flow: Tensor
    visible: Tensor | None
    flow_back: Tensor | None = None


def prepare_video(clip: NDArray[np.uint8], settings: PrepareSettings, rng: np.random.Generator) -> Tensor:
    """uint8 RGB [n, H, W, 3] -> normalised Lab [n, 3, *size]."""
    frames = _float_frames(clip)
    box = random_area_box((clip.shape[1], clip.shape[2]), settings.area, settings.aspect, rng)
    frames = resize(box.cut(frames), settings.size).clamp(0, 1)
    if rng.random() < settings.flip:
        frames = frames.flip(-1)
    return _augment(frames, settings, rng)


def prepare_pair(pair: FlowPair, settings: PrepareSettings, rng: np.random.Generator) -> PreparedPair:
    """A pair cut to `size`; visibility is estimated from the whole flows where it is not known.

    Raises ShapeError if the frames are smaller than `size`.
    """
    frames = _float_frames(np.stack((pair.reference, pair.target)))
    flow, flow_back = _planes(pair.flow), None if pair.flow_back is None else _planes(pair.flow_back)
    visible = None if settings.visible_from_crop and flow_back is not None else _visible(pair, flow, flow_back)
    box = random_box((frames.shape[-2], frames.shape[-1]), settings.size, rng)
    mirrored = rng.random() < settings.flip

    def cut_flow(whole: Tensor) -> Tensor:
        return (flip_flow(box.cut(whole)) if mirrored else box.cut(whole)).contiguous()

    def cut(whole: Tensor) -> Tensor:
        return (box.cut(whole).flip(-1) if mirrored else box.cut(whole)).contiguous()

    images = _augment(cut(frames), settings, rng)
    if visible is None and flow_back is not None:
        return PreparedPair(images, cut_flow(flow), None, cut_flow(flow_back))
    assert visible is not None
    return PreparedPair(images, cut_flow(flow), cut(visible))


def collate(videos: Sequence[Tensor], pairs: Sequence[PreparedPair]) -> TrainingBatch:
    """Prepared samples -> one batch; where one pair leaves visibility to the loss, all must."""
    images, flows, visible, backs = zip(*pairs, strict=True)
    return TrainingBatch(
        torch.stack(list(videos)),
        torch.stack(images),
        torch.stack(flows),
        flow_back=None if backs[0] is None else torch.stack(backs),
        visible=None if visible[0] is None else torch.stack(visible),
    )


def _visible(pair: FlowPair, flow: Tensor, flow_back: Tensor | None) -> Tensor:
    if pair.visible is not None:
        return torch.from_numpy(np.ascontiguousarray(pair.visible))
    if flow_back is None:
        return torch.ones(flow.shape[1:], dtype=torch.bool)
    return visible_by_consistency(flow[None], flow_back[None])[0]


def _planes(field: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(field)).permute(2, 0, 1)


def _float_frames(clip: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2).float() / 255


def _augment(frames: Tensor, settings: PrepareSettings, rng: np.random.Generator) -> Tensor:
    if rng.random() < settings.blur:
        frames = gaussian_blur(frames, float(rng.uniform(*settings.blur_sigma)))
    if settings.photometric is not None:
        frames = change_photometry(frames, settings.photometric, rng)
    return normalized_lab(frames).contiguous()
