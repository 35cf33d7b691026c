"""Checkpoint import: official and own names, and every tensor accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fgvc_training.encoder.architectures import ARCHITECTURES, UnknownArchitecture
from fgvc_training.encoder.checkpoint import CheckpointFault, load_encoder, save_encoder
from fgvc_training.encoder.efficientnet_lite import EdgeLite0
from fgvc_training.encoder.untrained import recipe_array, recipe_state, untrained_encoder

State = dict[str, Tensor]


def tracker_state(goldens_dir: Path, listing: str) -> State:
    """The state dict of an official tracker with the recipe's weights."""
    rows = json.loads((goldens_dir / f"{listing}.json").read_text())
    return {row[0]: torch.from_numpy(recipe_array(row[0], tuple(row[1]))) for row in rows} | {
        row[0]: torch.tensor(0) for row in rows if row[0].endswith("num_batches_tracked")
    }


@pytest.fixture(scope="module")
def vanilla(goldens_dir: Path) -> State:
    return tracker_state(goldens_dir, "state_dict_vanilla_tracker")


def write(state: dict[str, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def lite_state() -> State:
    """EfficientNet-lite0 in the names of efficientnet-lite-pytorch: the recipe's trunk, and some of the rest."""
    ours = recipe_state(EdgeLite0())
    pairs = {"stem.conv.": "_conv_stem.", "stem.bn.": "_bn0."}
    for block in range(11):
        for part, conv, norm in (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1")):
            pairs[f"blocks.{block}.{part}.conv."] = f"_blocks.{block}.{conv}."
            pairs[f"blocks.{block}.{part}.bn."] = f"_blocks.{block}.{norm}."
        pairs[f"blocks.{block}.project.conv."] = f"_blocks.{block}._project_conv."
        pairs[f"blocks.{block}.project.bn."] = f"_blocks.{block}._bn2."
    state = {}
    for name, value in ours.items():
        prefix = next(prefix for prefix in pairs if name.startswith(prefix))
        state[pairs[prefix] + name.removeprefix(prefix)] = value
    dropped = (
        "_blocks.11._expand_conv.weight",
        "_blocks.15._bn2.bias",
        "_conv_head.weight",
        "_bn1.weight",
        "_fc.bias",
    )
    return state | {name: torch.zeros(1) for name in dropped}


def assert_recipe_weights(module: torch.nn.Module) -> None:
    expected = recipe_state(module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(("suffix", "wrap"), [(".pth", False), (".pth", True), (".safetensors", False)])
def test_official_tracker(vanilla: State, tmp_path: Path, suffix: str, wrap: bool) -> None:
    state = {"state_dict": vanilla, "meta": {"epoch": 3}} if wrap else vanilla
    module, report = load_encoder(write(state, tmp_path / f"official{suffix}"))
    assert_recipe_weights(module)
    assert not module.training
    assert report.arch == "resnet18_d1"
    assert report.kind == "official FGVC or Spa-then-Temp tracker"
    assert len(report.loaded) == len(module.state_dict())
    assert report.dropped_parts() == ["backbone.layer4", "iteration"]
    assert "left out 31 that are not the encoder's (backbone.layer4, iteration)" in report.summary()


def test_training_checkpoint_with_heads_and_teacher(goldens_dir: Path, tmp_path: Path) -> None:
    state = tracker_state(goldens_dir, "state_dict_mixed_tracker_r24")
    module, report = load_encoder(write({"state_dict": state}, tmp_path / "mixed.pth"))
    assert_recipe_weights(module)
    parts = ["backbone.layer4", "corr_discriminator", "discriminator", "iteration", "teacher"]
    assert report.dropped_parts() == parts
    assert len(report.dropped) + len(report.loaded) == len(state)


def test_saved_through_data_parallel_or_in_half_precision(vanilla: State, tmp_path: Path) -> None:
    wrapped = {f"module.{name}": value for name, value in vanilla.items()}
    assert_recipe_weights(load_encoder(write(wrapped, tmp_path / "ddp.pth"))[0])
    half = {name: value.half() if value.is_floating_point() else value for name, value in vanilla.items()}
    module, _ = load_encoder(write(half, tmp_path / "half.pth"))
    weight = module.get_parameter("conv1.conv.weight")
    assert weight.dtype == torch.float32
    assert torch.equal(weight, vanilla["backbone.conv1.conv.weight"].half().float())


def test_efficientnet_lite0(tmp_path: Path) -> None:
    module, report = load_encoder(write(lite_state(), tmp_path / "lite0.pth"), "edge_lite0")
    assert_recipe_weights(module)
    assert report.arch == "edge_lite0"
    assert report.dropped_parts() == ["_blocks.11", "_blocks.15", "_bn1", "_conv_head", "_fc"]


@pytest.mark.parametrize("arch", list(ARCHITECTURES))
@torch.inference_mode()
def test_what_we_save_comes_back(arch: str, tmp_path: Path) -> None:
    module = untrained_encoder(arch)
    save_encoder(module, tmp_path / "own.safetensors", arch)
    loaded, report = load_encoder(tmp_path / "own.safetensors")
    assert (report.arch, report.dropped) == (arch, ())
    x = torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(x), module(x))


def test_saving_under_the_wrong_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointFault, match=r"this encoder is no edge_lite0: missing blocks\.0"):
        save_encoder(untrained_encoder("resnet18_d1"), tmp_path / "own.safetensors", "edge_lite0")
    assert not (tmp_path / "own.safetensors").exists()


def test_every_fault_is_named_in_one_message(vanilla: State, tmp_path: Path) -> None:
    state: dict[str, Any] = dict(vanilla)
    del state["backbone.conv1.conv.weight"], state["backbone.layer3.1.conv2.bn.bias"]
    state["backbone.layer2.2.conv1.conv.weight"] = torch.zeros(3)
    state["backbone.fc.bias"] = torch.zeros(3)
    state["backbone.layer1.0.conv1.conv.weight"] = torch.zeros(64, 64, 1, 1)
    state["backbone.layer1.0.conv1.bn.weight"] = torch.zeros(64, dtype=torch.int64)
    state["backbone.layer1.0.conv1.bn.bias"] = torch.full((64,), torch.nan)
    state["backbone.layer1.0.conv2.bn.bias"] = "text"
    with pytest.raises(CheckpointFault) as caught:
        load_encoder(write(state, tmp_path / "bad.pth"))
    message = str(caught.value)
    assert "\n" not in message
    for phrase in (
        "missing conv1.conv.weight, layer3.1.conv2.bn.bias",
        "unexpected fc.bias, layer2.2.conv1.conv.weight",
        "layer1.0.conv1.conv.weight has shape [64, 64, 1, 1] where [64, 64, 3, 3] is expected",
        "layer1.0.conv1.bn.weight is torch.int64 where torch.float32 is expected",
        "layer1.0.conv1.bn.bias holds NaN or infinity",
        "layer1.0.conv2.bn.bias is no dense tensor but str",
    ):
        assert phrase in message


def test_another_architecture(vanilla: State, tmp_path: Path) -> None:
    torchvision_names = {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(64)}
    with pytest.raises(CheckpointFault, match=r"another architecture: its tensors \(conv1\.weight, bn1\.weight"):
        load_encoder(write(torchvision_names, tmp_path / "torchvision.pth"))
    with pytest.raises(CheckpointFault, match=r"it holds resnet18_d1 .*, not edge_lite0; use --arch resnet18_d1"):
        load_encoder(write(vanilla, tmp_path / "official.pth"), "edge_lite0")
    with pytest.raises(CheckpointFault, match=r"its tensors \(none at all"):
        load_encoder(write({"state_dict": {}}, tmp_path / "none.pth"))
    with pytest.raises(UnknownArchitecture, match="no encoder architecture 'resnet50'"):
        load_encoder(tmp_path / "official.pth", "resnet50")
