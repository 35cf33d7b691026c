"""EdgeEncoder: shares of its parts, small enough, centred features; geometry is tested with the other encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fgvc_training.encoder.architectures import architecture
from fgvc_training.encoder.edge import HEAD_CHANNELS, LEVEL_CHANNELS, SHARES, Components, EdgeEncoder
from fgvc_training.encoder.efficientnet_lite import unit_length
from fgvc_training.encoder.untrained import untrained_encoder


@pytest.fixture(scope="module")
def encoder() -> EdgeEncoder:
    module = untrained_encoder("edge")
    assert isinstance(module, EdgeEncoder)
    return module


def frames(height: int, width: int, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand(count, 3, height, width, generator=generator) * 4 - 2


def test_the_shares_are_whole() -> None:
    assert sum(SHARES) == pytest.approx(1)


@torch.inference_mode()
def test_each_part_has_its_share_of_the_squared_length(encoder: EdgeEncoder) -> None:
    features = encoder(frames(64, 96))
    # Coarse levels are unit vectors on their own grids; between those, interpolation shortens them.
    starts = np.cumsum([0, *LEVEL_CHANNELS.values(), HEAD_CHANNELS]).tolist()
    for start, stop, step, share in zip(starts, starts[1:], (1, 2, 4, 1), SHARES, strict=False):
        squared = features[:, start:stop, ::step, ::step].square().sum(1)
        torch.testing.assert_close(squared, torch.full_like(squared, share), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_imagenet_part_is_the_trunk_itself_turned_and_shortened(encoder: EdgeEncoder) -> None:
    x = frames(48, 48)
    fine = encoder.trunk.levels(x)[0]
    part = encoder.components[0]
    assert isinstance(part, Components)
    kept = torch.einsum("nchw,dc->ndhw", fine - part.mean[:, None, None], part.basis)
    expected = torch.nn.functional.normalize(kept, dim=1) * SHARES[0] ** 0.5
    torch.testing.assert_close(encoder(x)[:, : len(part.basis)], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hw", [(32, 32), (33, 47), (75, 101), (97, 36)])
@torch.inference_mode()
def test_any_size_gives_ceil_of_a_quarter(encoder: EdgeEncoder, hw: tuple[int, int]) -> None:
    features = encoder(frames(*hw))
    assert features.shape == (1, 128, -(-hw[0] // 4), -(-hw[1] // 4))
    assert torch.isfinite(features).all()


@torch.inference_mode()
def test_measured_means_centre_the_levels() -> None:
    encoder = untrained_encoder("edge")
    assert isinstance(encoder, EdgeEncoder)
    x = frames(64, 64, count=3)
    encoder.measure_levels(x)
    for part, level in zip(encoder.components, encoder.trunk.levels(x), strict=True):
        rest = (level - part.get_buffer("mean")[:, None, None]).mean((0, 2, 3))
        # fp32 means of up to 800 values of size 10.
        assert rest.abs().max() < 1e-4 * level.abs().max()


def test_components_lose_no_cosine_of_pixels_that_differ_in_as_many_directions() -> None:
    """Pixels in a random 4-dimensional subspace of 12 channels: 4 components hold all their cosines, 3 do not."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.einsum(
        "nkhw,kc->nchw",
        torch.randn(2, 4, 9, 7, generator=generator),
        torch.randn(4, 12, generator=generator),
    )
    # The mean lies in the subspace too.
    pixels = pixels + pixels[:1, :, :1, :1]
    exact = unit_length(pixels - pixels.mean((0, 2, 3))[:, None, None]).flatten(2)
    errors = []
    for kept in (4, 3):
        part = Components(12, kept)
        part.measure(pixels)
        torch.testing.assert_close(part.basis @ part.basis.T, torch.eye(kept), rtol=0, atol=1e-6)
        found = part(pixels).flatten(2)
        errors.append((torch.einsum("ncp,ncq->npq", found, found) - torch.einsum("ncp,ncq->npq", exact, exact)).abs())
    # fp32 sums of twelve products; the last component of four holds a good part of some pixels.
    assert errors[0].max() < 1e-5
    assert errors[1].max() > 0.1


def test_it_stays_within_its_budget() -> None:
    """Issue 5: at most 6 MB and 1.2 GMAC at 256 x 256; multiplications are counted in every convolution."""
    encoder = architecture("edge").build().eval()
    macs = 0

    def count(module: torch.nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, torch.nn.Conv2d)
        macs += out.numel() * module.weight[0].numel()

    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        encoder(frames(256, 256))
    assert macs < 1.2e9
    assert sum(p.numel() for p in encoder.parameters()) * 4 < 6e6
