"""EdgeEncoder: shares of its parts, small enough, centred features; geometry is tested with the other encoders."""

from __future__ import annotations

import pytest
import torch

from fgvc_training.encoder.architectures import architecture
from fgvc_training.encoder.edge import HEAD_CHANNELS, SHARES, Centred, EdgeEncoder
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
    starts = (0, 24, 64, 176, 176 + HEAD_CHANNELS)
    for start, stop, step, share in zip(starts, starts[1:], (1, 2, 4, 1), SHARES, strict=False):
        squared = features[:, start:stop, ::step, ::step].square().sum(1)
        torch.testing.assert_close(squared, torch.full_like(squared, share), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_imagenet_part_is_the_trunk_itself(encoder: EdgeEncoder) -> None:
    x = frames(48, 48)
    fine = encoder.trunk.levels(x)[0]
    centred = encoder.centred[0]
    assert isinstance(centred, Centred)
    expected = torch.nn.functional.normalize(fine - centred.mean[:, None, None], dim=1) * SHARES[0] ** 0.5
    torch.testing.assert_close(encoder(x)[:, :24], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hw", [(32, 32), (33, 47), (75, 101), (97, 36)])
@torch.inference_mode()
def test_any_size_gives_ceil_of_a_quarter(encoder: EdgeEncoder, hw: tuple[int, int]) -> None:
    features = encoder(frames(*hw))
    assert features.shape == (1, 240, -(-hw[0] // 4), -(-hw[1] // 4))
    assert torch.isfinite(features).all()


@torch.inference_mode()
def test_measured_means_centre_the_levels() -> None:
    encoder = untrained_encoder("edge")
    assert isinstance(encoder, EdgeEncoder)
    x = frames(64, 64, count=3)
    encoder.measure_means(x)
    for centred, level in zip(encoder.centred, encoder.trunk.levels(x), strict=True):
        rest = (level - centred.get_buffer("mean")[:, None, None]).mean((0, 2, 3))
        # fp32 means of up to 800 values of size 10.
        assert rest.abs().max() < 1e-4 * level.abs().max()


@pytest.mark.parametrize("arch", ["edge", "edge_reduced"])
def test_it_stays_within_its_budget(arch: str) -> None:
    """Issue 5: at most 6 MB and 1.2 GMAC at 256 x 256; multiplications are counted in every convolution."""
    encoder = architecture(arch).build().eval()
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
