"""Corrected soft labels, reconstruction and averages: known answers, empty selections, finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fgvc_training.correlation import attention_logits, local_correlation
from fgvc_training.losses.reconstruction import attend, reconstruction_loss
from fgvc_training.losses.reduce import mean_over
from fgvc_training.losses.soft_label import (
    soft_cross_entropy,
    soft_label_loss,
    teacher_logits,
    valid_pixels,
)
from fgvc_training.quirks import Quirks


def test_soft_cross_entropy_ignores_holes_and_has_the_right_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, target = torch.randn(2, 4, 9, generator=generator, dtype=torch.float64)
    hole = torch.zeros(9, dtype=torch.bool)
    hole[[0, 5]] = True
    with_holes = soft_cross_entropy(*(x.masked_fill(hole, -torch.inf) for x in (logits, target)))
    torch.testing.assert_close(with_holes, soft_cross_entropy(logits[:, ~hole], target[:, ~hole]))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: soft_cross_entropy(x.masked_fill(hole, -torch.inf), target.masked_fill(hole, -torch.inf)), logits
    )


def test_corrected_teacher_labels_peak_where_the_flow_ends() -> None:
    """On features that differ everywhere the label of every valid pixel has its maximum at its (integer) flow."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 16, 6, 9, generator=generator)
    flow = torch.randint(-2, 3, (2, 2, 6, 9), generator=generator).float()
    valid = valid_pixels(flow, torch.ones(2, 6, 9, dtype=torch.bool), 2)
    best = teacher_logits(features, flow, 2, 0.07).argmax(-1)
    expected = (flow[:, 1] + 2) * 5 + flow[:, 0] + 2
    assert torch.equal(best[valid], expected[valid].long())
    assert 0 < int(valid.sum()) < valid.numel()


def test_corrected_valid_pixels_stay_in_the_image() -> None:
    flow = torch.full((1, 2, 4, 6), 1.5)
    visible = torch.ones(1, 4, 6, dtype=torch.bool)
    valid = valid_pixels(flow, visible, 2)[0]
    assert valid[:2, :4].all()
    assert int(valid.sum()) == 8
    assert valid_pixels(flow, visible, 2, targets_outside_image=True).all()
    assert not valid_pixels(flow, visible, 1).any()


def test_no_valid_pixel_gives_zero_loss_and_zero_gradient() -> None:
    logits = torch.randn(1, 3, 4, 9, requires_grad=True)
    target, nowhere = torch.randn(1, 3, 4, 9), torch.zeros(1, 3, 4, dtype=torch.bool)
    loss = soft_label_loss(logits, target, nowhere)
    assert float(loss.detach()) == 0.0
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.equal(gradient, torch.zeros_like(gradient))
    assert torch.isnan(soft_label_loss(logits, target, nowhere, Quirks.reference()))


def test_mean_over_keeps_unselected_infinities_out() -> None:
    values = torch.tensor([1.0, torch.inf, 3.0], requires_grad=True)
    mean = mean_over(values, torch.tensor([True, False, True]))
    assert float(mean.detach()) == 2.0
    (gradient,) = torch.autograd.grad(mean, values)
    assert gradient.tolist() == [0.5, 0.0, 0.5]


def test_attend_copies_the_attended_label() -> None:
    """All weight on the entry (dx, dy) = (1, -1) moves the labels by it, with 0 from outside."""
    labels = torch.arange(24.0).reshape(1, 1, 4, 6)
    weights = torch.zeros(1, 4, 6, 9)
    weights[..., 2] = 1.0
    moved = attend(weights, labels, 1)
    assert torch.equal(moved[0, 0, 1:, :-1], labels[0, 0, :-1, 1:])
    assert torch.equal(moved[0, 0, 0], torch.zeros(6))


@pytest.mark.parametrize(("hw", "stride"), [((13, 21), 2), ((12, 20), 4), ((9, 7), 1)])
def test_corrected_reconstruction_of_a_ramp_by_itself_is_exact(hw: tuple[int, int], stride: int) -> None:
    """A linear ramp rebuilt from itself by one-hot features: sub-sampling and enlarging must cancel."""
    height, width = hw
    channel = (torch.arange(width) * 0.01 + torch.arange(height)[:, None] * 0.02)[None, None]
    small = tuple(-(-size // stride) for size in hw)
    features = torch.eye(small[0] * small[1]).reshape(1, *small, -1).permute(0, 3, 1, 2)
    correlation = local_correlation(features, features, 2)
    loss = reconstruction_loss(correlation, channel, channel, radius=2, stride=stride, temperature=0.01)
    assert float(loss) < 1e-12
    shifted = reconstruction_loss(
        correlation,
        channel,
        channel,
        radius=2,
        stride=stride,
        temperature=0.01,
        quirks=Quirks(half_pixel_reconstruction=True),
    )
    assert stride == 1 or float(shifted) > 1e-3


def test_reconstruction_gradient_in_float64() -> None:
    generator = torch.Generator().manual_seed(6)
    features = torch.randn(2, 2, 4, 3, 5, generator=generator, dtype=torch.float64)
    channels = torch.randn(2, 2, 1, 6, 10, generator=generator, dtype=torch.float64)

    def loss(target: Tensor, reference: Tensor) -> Tensor:
        return reconstruction_loss(
            local_correlation(target, reference, 2), channels[0], channels[1], radius=2, stride=2, temperature=0.5
        )

    assert torch.autograd.gradcheck(loss, [x.clone().requires_grad_() for x in features])


def test_soft_label_gradient_in_float64() -> None:
    generator = torch.Generator().manual_seed(7)
    target, reference, teacher = torch.randn(3, 2, 4, 3, 5, generator=generator, dtype=torch.float64)
    flow = torch.randn(2, 2, 3, 5, generator=generator, dtype=torch.float64)
    valid = valid_pixels(flow, torch.ones(2, 3, 5, dtype=torch.bool), 2)
    labels = teacher_logits(teacher, flow, 2, 0.5)

    def loss(student_target: Tensor, student_reference: Tensor) -> Tensor:
        logits = attention_logits(local_correlation(student_target, student_reference, 2), 2, 0.5)
        return soft_label_loss(logits, labels, valid)

    assert int(valid.sum()) > 3
    assert torch.autograd.gradcheck(loss, [x.clone().requires_grad_() for x in (target, reference)])
