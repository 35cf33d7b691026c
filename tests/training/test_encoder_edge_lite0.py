"""EdgeLite0: equal to an independent EfficientNet-lite0, centred exactly at stride*i, any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fgvc_training.encoder.architectures import ARCHITECTURES, UnknownArchitecture, architecture
from fgvc_training.encoder.efficientnet_lite import EdgeLite0, upsample_aligned
from fgvc_training.encoder.untrained import untrained_encoder


@pytest.fixture(scope="module")
def encoder() -> EdgeLite0:
    module = untrained_encoder("edge_lite0")
    assert isinstance(module, EdgeLite0)
    return module


def frames(height: int, width: int, count: int = 1) -> torch.Tensor:
    """Values that are exact in fp32, so that no library's rounding is in the input."""
    index = torch.arange(count * 3 * height * width)
    return ((index * index * 7 + index * 5) % 251).reshape(count, 3, height, width) / 64 - 2


@torch.inference_mode()
def test_levels_equal_an_independent_implementation(encoder: EdgeLite0) -> None:
    """Values of efficientnet-lite-pytorch 0.1.0 with the same weights.

    It pads like TensorFlow, which is symmetric for sizes 16k + 1 only, hence 97 x 129.  The difference was 0.0 on the
    machine that wrote them; the tolerance is fp32 rounding through 33 convolutions on another.
    """
    levels = encoder.levels(frames(97, 129))
    expected = [
        ((1, 24, 25, 33), [0.7701999, 0.9053760, 1.9321716, 0.2352868], [-1.7890798, -1.8357892, -2.7844954]),
        ((1, 40, 13, 17), [-9.3607607, -1.8166857, 3.3616171, -1.9022018], [-1.2592068, -3.8838923, 0.8912479]),
        ((1, 112, 7, 9), [-9.5279522, -4.8522968, 0.5025306, -1.0801187], [2.3188276, 4.6115799, 3.8561192]),
    ]
    for level, (shape, column, row) in zip(levels, expected, strict=True):
        assert level.shape == shape
        torch.testing.assert_close(level[0, :4, 2, 3], torch.tensor(column), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(level[0, 5, 1, :3], torch.tensor(row), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hw", [(32, 32), (33, 47), (75, 101), (64, 50), (97, 36)])
@torch.inference_mode()
def test_any_size_gives_ceil_of_a_quarter(encoder: EdgeLite0, hw: tuple[int, int]) -> None:
    features = encoder(frames(*hw))
    assert features.shape == (1, 176, -(-hw[0] // 4), -(-hw[1] // 4))
    assert torch.isfinite(features).all()


@torch.inference_mode()
def test_each_level_has_unit_length_on_its_own_grid(encoder: EdgeLite0) -> None:
    features = encoder(frames(64, 96, count=2))
    for channels, step in ((slice(0, 24), 1), (slice(24, 64), 2), (slice(64, 176), 4)):
        lengths = features[:, channels, ::step, ::step].norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arch", list(ARCHITECTURES))
@torch.inference_mode()
def test_mirrored_kernels_commute_with_mirroring_the_frame(arch: str) -> None:
    """Feature i sits at stride*i: with W = 16k + 1 the frame's mirror image maps i to n-1-i, exactly.

    Any asymmetric padding or half-pixel upsampling breaks this by the size of the features themselves; summing in
    mirrored order changes an fp32 result by 1e-5 of that at most.
    """
    encoder = untrained_encoder(arch)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_((module.weight + module.weight.flip(3)) / 2)
            module.weight.copy_((module.weight + module.weight.flip(2)) / 2)
    x = frames(49, 65)
    expected = encoder(x)
    for axes in ((2,), (3,), (2, 3)):
        assert (encoder(x.flip(axes)).flip(axes) - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.inference_mode()
def test_a_shift_by_sixteen_pixels_shifts_features_by_four(encoder: EdgeLite0) -> None:
    x = torch.randn(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    features, shifted = encoder(x), encoder(torch.roll(x, (16, -16), (2, 3)))
    # Far enough from the border, whose padding does not shift: level 16 sees 339 pixels, 43 features each way.
    torch.testing.assert_close(shifted[:, :, 54:74, 54:74], features[:, :, 50:70, 58:78], rtol=1e-4, atol=1e-5)
    assert (shifted - features)[:, :, 54:74, 54:74].abs().max() > 0.1


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("hw", [(5, 7), (1, 3)])
def test_upsampling_is_linear_between_samples_and_flat_beyond(factor: int, hw: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *hw, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    full = (factor * hw[0], factor * hw[1])
    up = upsample_aligned(x, factor, full)
    assert up.shape == (2, 3, *full)
    rows = torch.arange(full[0]) / factor
    columns = torch.arange(full[1]) / factor
    torch.testing.assert_close(up, sample_clamped(x, rows, columns), rtol=1e-12, atol=1e-12)
    assert torch.equal(up[:, :, ::factor, ::factor], x)
    cropped = upsample_aligned(x, factor, (full[0] - factor + 1, full[1] - 1))
    assert torch.equal(cropped, up[:, :, : full[0] - factor + 1, :-1])


def sample_clamped(x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Bilinear samples at rows x columns, coordinates in samples, the edge repeated: the plain definition."""
    for axis, at in ((2, rows), (3, columns)):
        low = at.floor().long()
        last = x.shape[axis] - 1
        shape = [1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1]
        weight = (at - low).reshape(shape).to(x.dtype)
        below, above = (x.index_select(axis, (low + step).clamp(max=last)) for step in (0, 1))
        x = below * (1 - weight) + above * weight
    return x


def test_it_is_small_and_trains() -> None:
    trainable = architecture("edge_lite0").build()
    assert sum(p.numel() for p in trainable.parameters()) == 700_768
    trainable(frames(32, 32, count=2)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trainable.parameters())


@pytest.mark.parametrize("arch", list(ARCHITECTURES))
@torch.inference_mode()
def test_the_table_tells_the_truth(arch: str) -> None:
    row = ARCHITECTURES[arch]
    assert row.name == arch
    features = untrained_encoder(arch)(frames(40, 56))
    assert features.shape == (1, row.channels, -(-40 // row.stride), -(-56 // row.stride))


def test_an_unknown_architecture_lists_the_known() -> None:
    with pytest.raises(UnknownArchitecture, match="'resnet50'; choose one of: resnet18_d1, edge_lite0"):
        architecture("resnet50")
