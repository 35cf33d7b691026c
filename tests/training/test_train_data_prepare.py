"""From frames to a batch that the objective accepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fgvc_training.augment.lab import normalized_lab
from fgvc_training.augment.photometric import PhotometricSettings
from fgvc_training.data.prepare import PrepareSettings, collate, prepare_pair, prepare_video
from fgvc_training.data.sources import FlowPair
from fgvc_training.errors import ShapeError
from fgvc_training.objective import ObjectiveSettings, TrainingObjective
from fgvc_training.sampling import flow_targets, sample

PLAIN = PrepareSettings(size=(24, 32), flip=0.0, blur=0.0)


def shifted_pair(shift: tuple[int, int] = (3, -2), hw: tuple[int, int] = (40, 50)) -> FlowPair:
    """The target shows at x what the reference shows at x + shift."""
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 256, (*hw, 3), dtype=np.uint8)
    target = np.roll(reference, (-shift[1], -shift[0]), axis=(0, 1))
    flow = np.broadcast_to(np.array(shift, np.float32), (*hw, 2))
    return FlowPair(reference, target, flow, -flow)


def clip(seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_crop_and_flip_keep_images_and_flow_together(flip: float) -> None:
    settings = PLAIN.model_copy(update={"flip": flip})
    images, flow, visible, _ = prepare_pair(shifted_pair(), settings, np.random.default_rng(0))
    assert visible is not None
    assert images.shape == (2, 3, 24, 32)
    assert flow[:, 0, 0].tolist() == [-3.0 if flip else 3.0, -2.0]
    warped = sample(images[:1], flow_targets(flow[None]))[0]
    inner = slice(4, -4)
    torch.testing.assert_close(warped[:, inner, inner], images[1, :, inner, inner], atol=1e-5, rtol=0)
    assert visible.float().mean() > 0.8


def test_visibility_comes_from_the_whole_frames() -> None:
    """A target position outside the crop but inside the frame stays visible: the window test of the loss decides."""
    still = prepare_pair(shifted_pair((0, 0)), PLAIN, np.random.default_rng(0)).visible
    assert still is not None
    assert still.all()
    known = shifted_pair()._replace(visible=np.zeros((40, 50), bool))
    hidden = prepare_pair(known, PLAIN, np.random.default_rng(0)).visible
    assert hidden is not None
    assert not hidden.any()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_visibility_left_to_the_loss(flip: float) -> None:
    """Both flows are cut and mirrored alike, so they still cancel, and the batch carries both."""
    settings = PLAIN.model_copy(update={"flip": flip, "visible_from_crop": True})
    pair = prepare_pair(shifted_pair(), settings, np.random.default_rng(0))
    assert pair.visible is None
    assert pair.flow_back is not None
    assert torch.equal(pair.flow_back, -pair.flow)
    batch = collate([torch.zeros(2, 3, 24, 32)], [pair])
    assert batch.visible is None
    assert batch.flow_back is not None
    assert batch.flow_back.shape == (1, 2, 24, 32)


def test_video_is_resized_lab() -> None:
    grey = np.full((3, 40, 60, 3), 128, np.uint8)
    prepared = prepare_video(grey, PrepareSettings(size=(16, 24)), np.random.default_rng(0))
    assert prepared.shape == (3, 3, 16, 24)
    torch.testing.assert_close(prepared, normalized_lab(torch.full((3, 3, 16, 24), 128 / 255)), atol=1e-4, rtol=0)


def test_a_sample_is_a_function_of_the_generator() -> None:
    settings = PrepareSettings(size=(16, 24), photometric=PhotometricSettings())
    first, again, other = (prepare_video(clip(), settings, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    pairs = [prepare_pair(shifted_pair(), settings, np.random.default_rng(3)) for _ in range(2)]
    assert torch.equal(pairs[0].images, pairs[1].images)


def test_small_frames_are_refused() -> None:
    with pytest.raises(ShapeError, match="smaller than the crop"):
        prepare_pair(shifted_pair(), PrepareSettings(), np.random.default_rng(0))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.conv(x)
        return features


def test_a_prepared_batch_trains() -> None:
    """Prepared data, collated, go through the objective; one step of gradient descent lowers the loss."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    settings = ObjectiveSettings(radius=4, adversarial_weight=0.0)
    batch = collate(
        [prepare_video(clip(seed), PLAIN, rng) for seed in range(2)],
        [prepare_pair(shifted_pair(), PLAIN, rng) for _ in range(2)],
    )
    objective = TrainingObjective(Encoder(), Encoder(), None, settings)
    loss = objective(batch, np.random.default_rng(1)).total
    weights = list(objective.encoder.parameters())
    with torch.no_grad():
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.sub_(0.01 * gradient)
    assert float(objective(batch, np.random.default_rng(1)).total.detach()) < float(loss.detach())
