"""ReducedEdgeEncoder and the command that makes it: cosines are kept, parts keep their shares, names are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fgvc_training.edge import reduce
from fgvc_training.encoder.checkpoint import load_encoder, save_encoder
from fgvc_training.encoder.edge import SHARES, EdgeEncoder
from fgvc_training.encoder.edge_reduced import KEPT, ReducedEdgeEncoder, principal_directions, reduce_encoder
from fgvc_training.encoder.untrained import untrained_encoder


@pytest.fixture(scope="module")
def encoder() -> EdgeEncoder:
    module = untrained_encoder("edge")
    assert isinstance(module, EdgeEncoder)
    module.measure_means(frames(3))
    return module


def frames(count: int) -> torch.Tensor:
    """Smooth random pictures [count, 3, 96, 128]."""
    coarse = torch.rand(count, 3, 12, 16, generator=torch.Generator().manual_seed(count)) * 4 - 2
    return torch.nn.functional.interpolate(coarse, (96, 128), mode="bilinear")


@torch.inference_mode()
def test_parts_are_those_of_the_full_encoder_along_the_directions(encoder: EdgeEncoder) -> None:
    seen = frames(2)[:, None]
    directions = principal_directions(encoder, seen)
    found = reduce_encoder(encoder, seen).unit_parts(seen[0])
    for part, rows, full in zip(found, directions, encoder.unit_parts(seen[0]), strict=True):
        # fp32 eigenvectors of a float64 matrix.
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), rtol=0, atol=1e-5)
        expected = torch.nn.functional.normalize(torch.einsum("kc,nchw->nkhw", rows, full), dim=1)
        # The head's directions are folded into its last convolution: sums of 96 products in another order.
        torch.testing.assert_close(part, expected, rtol=0, atol=2e-5)


@torch.inference_mode()
def test_no_other_directions_keep_more_of_the_parts(encoder: EdgeEncoder) -> None:
    seen = frames(2)[:, None]
    kept, others = principal_directions(encoder, seen), []
    for part, rows in zip(encoder.unit_parts(frames(2)), kept, strict=True):
        pixels = part.transpose(0, 1).flatten(1)
        turned = torch.linalg.qr(
            torch.randn(rows.shape[1], rows.shape[1], generator=torch.Generator().manual_seed(0))
        )
        others.append((rows @ pixels).square().sum() - (turned.Q[: len(rows)] @ pixels).square().sum())
    assert all(float(gain) > 0 for gain in others)


@torch.inference_mode()
def test_each_part_keeps_its_share_of_the_squared_length(encoder: EdgeEncoder) -> None:
    x = frames(1)
    features = reduce_encoder(encoder, [x])(x)
    assert features.shape == (1, 128, 24, 32)
    starts = np.cumsum([0, *KEPT]).tolist()
    for start, stop, step, share in zip(starts, starts[1:], (1, 2, 4, 1), SHARES, strict=False):
        squared = features[:, start:stop, ::step, ::step].square().sum(1)
        torch.testing.assert_close(squared, torch.full_like(squared, share), rtol=1e-5, atol=1e-5)


def test_without_frames_there_is_nothing_to_measure(encoder: EdgeEncoder) -> None:
    with pytest.raises(ValueError, match="no frames"):
        reduce_encoder(encoder, [])


def test_the_command_writes_a_checkpoint_that_loads_as_the_reduced_encoder(
    encoder: EdgeEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for index in range(4):
            pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "videos" / name / f"{index}.png")
    save_encoder(encoder, tmp_path / "full.safetensors", "edge")
    call = [str(tmp_path / "full.safetensors"), "--videos", str(tmp_path / "videos"), "--unmasked"]
    outs = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for out in outs:
        reduce.main([*call, "--without", "two", "--out", str(out)])
    assert "measured on 1 videos" in capsys.readouterr().out
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert isinstance(load_encoder(outs[0])[0], ReducedEdgeEncoder)
    with pytest.raises(SystemExit):
        reduce.main([*call, "--without", "three", "--out", str(tmp_path / "c")])
    assert "three" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
