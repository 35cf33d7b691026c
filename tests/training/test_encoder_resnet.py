"""ResNet-18 d1 against the official network's outputs (goldens b), and its geometry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fgvc_training.encoder.architectures import architecture
from fgvc_training.encoder.untrained import recipe_array, untrained_encoder

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]

# Both sides are fp32, but oneDNN chooses the order of each sum (up to 2304 products, thirteen layers deep) by CPU and
# threads.  Goldens item 7: either side is within 1.2e-6 of fp64, relative to the pixel's feature vector, so 2.4e-6
# between them on the CPU that made them; measured 1.4e-6, and 2.3e-6 where a vector is only its stored 32 channels.
# Four times that leaves room for other CPUs and is still 100 times below one bf16 rounding.
RELATIVE_BUDGET = 1e-5


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    return untrained_encoder("resnet18_d1")


def relative_error(ours: torch.Tensor, theirs: NDArray[Any]) -> float:
    """Largest difference of a pixel's feature vectors [N, C, H, W], relative to the length of that vector."""
    difference = np.linalg.norm(ours.numpy().astype(np.float64) - theirs, axis=1)
    return float((difference / np.linalg.norm(theirs.astype(np.float64), axis=1)).max())


def test_recipe_gives_the_weights_of_the_goldens(goldens_dir: Path) -> None:
    checksums = json.loads((goldens_dir / "weights_recipe_checksums.json").read_text())
    shapes = {
        row[0]: tuple(row[1]) for row in json.loads((goldens_dir / "state_dict_vanilla_tracker.json").read_text())
    }
    for name, shape in shapes.items():
        total, absolute, first = checksums[name]
        value = recipe_array(name, shape).astype(np.float64)
        assert value.sum() == pytest.approx(total, rel=1e-6, abs=1e-4), name
        assert np.abs(value).sum() == pytest.approx(absolute, rel=1e-6), name
        np.testing.assert_allclose(value.ravel()[:3], np.ravel(first)[: value.size], rtol=1e-6)


@torch.inference_mode()
def test_every_stage_equals_the_official_network(encoder: nn.Module, goldens: Goldens, parity: Parity) -> None:
    golden = goldens("b_encoder")
    x = torch.from_numpy(golden["x64"])
    stem = encoder.get_submodule("conv1")(x)
    layer1 = encoder.get_submodule("layer1")(stem)
    layer2 = encoder.get_submodule("layer2")(layer1)
    # The "0" in these names is the image: only the first of the two was stored.
    stages = {"stem0": stem, "layer1_0": layer1, "layer2_0": layer2, "feat64": encoder(x)}
    for case, ours in stages.items():
        theirs = golden[case]
        assert ours[: len(theirs)].shape == theirs.shape
        value = relative_error(ours[: len(theirs)], theirs)
        parity(group="b", case=case, value=value, budget=RELATIVE_BUDGET, unit="relative", note="per pixel vector")


@torch.inference_mode()
def test_a_larger_frame_equals_the_official_network(encoder: nn.Module, goldens: Goldens, parity: Parity) -> None:
    golden = goldens("b_encoder")
    features = encoder(torch.from_numpy(golden["x96"]))
    assert features.shape == (1, 256, 48, 64)
    value = relative_error(features[:, ::8], golden["feat96_ch8"])
    parity(group="b", case="feat96_ch8", value=value, budget=RELATIVE_BUDGET, unit="relative", note="channels ::8")
    # A sum over 786432 values averages the errors out, but its own rounding is relative to the sum of magnitudes.
    total = abs(features.double().sum().item() - float(golden["feat96_sum"])) / float(golden["feat96_abs"])
    parity(group="b", case="feat96_sum", value=total, budget=1e-6, unit="relative", note="sum over all channels")


@pytest.mark.parametrize("hw", [(32, 32), (33, 32), (75, 101), (40, 57)])
@torch.inference_mode()
def test_any_size_gives_ceil_of_half(encoder: nn.Module, hw: tuple[int, int]) -> None:
    features = encoder(torch.zeros(1, 3, *hw))
    assert features.shape == (1, 256, -(-hw[0] // 2), -(-hw[1] // 2))


@torch.inference_mode()
def test_output_is_not_negative_and_an_even_shift_moves_it_by_half(encoder: nn.Module) -> None:
    x = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    features, shifted = encoder(x), encoder(torch.roll(x, (4, 6), (2, 3)))
    assert features.min() >= 0
    # The border, whose padding does not shift, reaches 14 features inwards: 3 pixels of the 7x7, then twelve 3x3.
    torch.testing.assert_close(shifted[:, :, 20:44, 20:44], features[:, :, 18:42, 17:41], rtol=1e-5, atol=1e-5)
    assert (shifted - features)[:, :, 20:44, 20:44].abs().max() > 0.1


def test_no_fourth_stage_and_official_names(encoder: nn.Module, goldens_dir: Path) -> None:
    rows = json.loads((goldens_dir / "state_dict_vanilla_tracker.json").read_text())
    official = {row[0].removeprefix("backbone.") for row in rows if row[0].startswith("backbone.")}
    ours = set(architecture("resnet18_d1").build().state_dict())
    assert ours == {name for name in official if not name.startswith("layer4")}
    assert sum(p.numel() for p in encoder.parameters()) == 2_782_784
