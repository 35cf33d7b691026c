"""The paper's three losses on sampled queries: equal to the paper task's forms where both can be computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fgvc_training.augment.lab import normalized_lab, rgb_of_normalized_lab
from fgvc_training.correlation import local_correlation
from fgvc_training.discriminator import CorrelationDiscriminator
from fgvc_training.edge.attention import circle_logits, gather_pixels, raster_to_xy, window_cosines
from fgvc_training.edge.batch import Queries
from fgvc_training.edge.paper_losses import (
    balanced_adversarial_loss,
    kept_statistics,
    rebuilt_channel_loss,
    trunk_labels,
    without_channel,
)
from fgvc_training.edge.prepare import denormalise, normalise
from fgvc_training.encoder.edge import HEAD_CHANNELS
from fgvc_training.losses.adversarial import adversarial_loss
from fgvc_training.losses.reconstruction import reconstruction_loss
from fgvc_training.losses.soft_label import teacher_logits

# A circle, and a window, that hold the whole of a 5 x 6 map from any of its pixels: then both are the same keys.
HW, EVERYWHERE, WINDOW = (5, 6), 20.0, 5


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def all_pixels(batch: int) -> Tensor:
    return torch.arange(HW[0] * HW[1]).expand(batch, -1)


def muted_frames() -> Tensor:
    """Normalised Lab [2, 3, 16, 16] whose colours are few, so that all of them are inside sRGB."""
    return draws(2, 3, 16, 16).clamp(-2, 2) * torch.tensor((0.2, 0.05, 0.05))[:, None, None]


@pytest.mark.parametrize("channel", [1, 2])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_dropped_channel_leaves_no_trace(channel: int, bf16: bool) -> None:
    """Frames that differ in this channel alone look the same; the other two channels are as before."""
    lab = muted_frames()
    rgb = rgb_of_normalized_lab(lab)
    assert float(rgb.min()) > 0
    assert float(rgb.max()) < 1
    other = lab.clone()
    other[:, channel] = lab.flip(-1)[:, channel]
    frames = [normalise(rgb_of_normalized_lab(x)) for x in (lab, other)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        seen, also = (without_channel(x, channel) for x in frames)
    assert float((frames[0] - frames[1]).abs().max()) > 0.1
    # Colours went through cube roots and powers in float32.
    torch.testing.assert_close(seen, also, rtol=0, atol=1e-4)
    lab[:, channel] = 0
    torch.testing.assert_close(normalized_lab(denormalise(seen)), lab, rtol=0, atol=1e-4)


def test_windows_are_those_of_the_local_correlation() -> None:
    query, keys = (F.normalize(draws(2, 8, *HW, seed=seed), dim=1) for seed in (1, 2))
    chosen = torch.tensor([[0, 5, 14, 29], [3, 24, 25, 7]])
    full = local_correlation(query, keys, 2).flatten(1, 2)
    expected = full.gather(1, chosen[..., None].expand(-1, -1, 25))
    found = window_cosines(gather_pixels(query, chosen), keys, chosen, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (found[0, 0].reshape(5, 5)[:2] == 0).all()


def test_reconstruction_is_the_papers() -> None:
    """At stride 1, with every pixel asked and every key in reach."""
    target, reference = (F.normalize(draws(2, 8, *HW, seed=seed), dim=1) for seed in (3, 4))
    channels = 0.2 * draws(2, 2, 1, *HW, seed=5)
    expected = reconstruction_loss(
        local_correlation(target, reference, WINDOW),
        channels[:, 0],
        channels[:, 1],
        radius=WINDOW,
        stride=1,
        temperature=0.07,
    )
    chosen = all_pixels(2)
    logits = circle_logits(gather_pixels(target, chosen), reference, raster_to_xy(chosen, HW[1]), EVERYWHERE, 0.07)
    flat = channels.flatten(2)
    real = torch.ones(2, dtype=torch.bool)
    torch.testing.assert_close(rebuilt_channel_loss(logits, flat[:, 0], flat[:, 1], real), expected)


def test_reconstruction_leaves_synthetic_pairs_out() -> None:
    logits, colours = draws(2, 3, 4), draws(2, 7)
    first = torch.tensor([True, False])
    both = rebuilt_channel_loss(logits, colours[:, :4], colours[:, 4:], first)
    torch.testing.assert_close(both, rebuilt_channel_loss(logits[:1], colours[:1, :4], colours[:1, 4:], first[:1]))
    assert float(rebuilt_channel_loss(logits, colours[:, :4], colours[:, 4:], ~first & first)) == 0


def test_the_trunk_as_teacher_is_the_papers_teacher() -> None:
    """On the ImageNet levels alone; the head's channels have no say, and get no gradient."""
    features = draws(1, 10 + HEAD_CHANNELS, *HW, seed=6).requires_grad_()
    flow = 0.9 * draws(1, 2, *HW, seed=7)
    chosen = all_pixels(1)
    own = raster_to_xy(chosen, HW[1])
    queries = Queries(chosen, own, own + gather_pixels(flow, chosen), torch.ones_like(chosen, dtype=torch.bool))
    found = trunk_labels(features, queries, EVERYWHERE, 0.07)
    assert not found.requires_grad
    windows = teacher_logits(features[:, :10], flow, WINDOW, 0.07).flatten(1, 2)[0]
    for query, (row, window) in enumerate(zip(found[0], windows, strict=True)):
        y, x = divmod(query, HW[1])
        expected = window.reshape(11, 11)[WINDOW - y : WINDOW - y + HW[0], WINDOW - x : WINDOW - x + HW[1]]
        torch.testing.assert_close(row.reshape(HW), expected, rtol=1e-5, atol=1e-4)


def test_both_kinds_count_alike() -> None:
    """With half of each it is the paper's mean; otherwise one kind alone, by its share in the run."""
    torch.manual_seed(0)
    discriminator = CorrelationDiscriminator(9)
    windows = draws(4, 5, 9, seed=8)
    synthetic = torch.tensor([True, False, False, True])
    expected = adversarial_loss(discriminator, windows[synthetic], windows[~synthetic])
    torch.testing.assert_close(balanced_adversarial_loss(discriminator, windows, synthetic, 0.5), expected)
    one, other = (
        adversarial_loss(discriminator, *pair) for pair in ((windows[:1], windows[:0]), (windows[:0], windows[1:]))
    )
    uneven = balanced_adversarial_loss(discriminator, windows, torch.arange(4) < 1, 0.25)
    torch.testing.assert_close(uneven, (one + other) / 2)


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_batch_of_one_kind_reaches_the_whole_discriminator(synthetic: bool) -> None:
    """Processes that average their gradients wait for each parameter's."""
    discriminator = CorrelationDiscriminator(9)
    loss = balanced_adversarial_loss(discriminator, draws(2, 3, 9), torch.full((2,), synthetic), 0.25)
    gradients = torch.autograd.grad(loss, list(discriminator.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_statistics_are_kept() -> None:
    norm, plain = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    x = draws(4, 3, 5, 5) * 3 + 1
    with kept_statistics(nn.Sequential(norm)):
        found = norm(x)
    assert torch.equal(found, plain(x))
    mean, expected = (part.get_buffer("running_mean") for part in (norm, plain))
    assert not mean.any()
    norm(x)
    assert torch.equal(mean, expected)
    with pytest.raises(RuntimeError), kept_statistics(norm):
        raise RuntimeError
    assert norm.momentum == 0.1
