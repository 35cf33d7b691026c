"""The task `edge` through the trainer's interface, on tiny videos and an untrained trunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fgvc_training.data.videos import FrameVideo
from fgvc_training.edge.selection import carried_mask_overlap
from fgvc_training.edge.settings import EdgeSettings
from fgvc_training.edge.task import KIND, EdgeTask
from fgvc_training.encoder.edge import EdgeEncoder
from fgvc_training.errors import DataError
from fgvc_training.trainer.config import read_config
from fgvc_training.trainer.task import RunContext, task_kind
from tiny_data import masks, save
from tiny_edge import tiny_edge_settings

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "edge.toml"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EdgeSettings:
    return tiny_edge_settings(tmp_path_factory.mktemp("edge"))


@pytest.fixture
def task(settings: EdgeSettings) -> EdgeTask:
    torch.manual_seed(0)
    return EdgeTask(settings, RunContext())


def test_the_committed_configuration_is_valid() -> None:
    config = read_config(CONFIG)
    assert isinstance(config.settings, EdgeSettings)
    assert task_kind("edge") is KIND


def test_a_sample_follows_from_its_generator(task: EdgeTask) -> None:
    first, again, other = (task.sample(0, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.frames, other.frames)


def test_losses_train_the_head_and_leave_the_trunk(task: EdgeTask) -> None:
    module = task.module.train()
    batch = task.collate([task.sample(i, np.random.default_rng(i)) for i in range(2)])
    before = {name: value.clone() for name, value in task.encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(task.parameter_groups(3e-3, 0.0))
    totals = []
    for _ in range(6):
        terms = module(batch, np.random.default_rng(0))
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        totals.append(float(total.detach()))
    assert set(terms) == {"matching", "identity", "cycle"}
    assert totals[-1] < totals[0]
    changed = {name for name, value in task.encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_a_term_without_weight_is_not_computed(settings: EdgeSettings) -> None:
    losses = settings.losses.model_copy(update={"identity_weight": 0.0, "cycle_weight": 0.0})
    task = EdgeTask(settings.model_copy(update={"losses": losses}), RunContext())
    batch = task.collate([task.sample(0, np.random.default_rng(0))])
    assert set(task.module(batch, np.random.default_rng(0))) == {"matching"}


def test_part_of_the_trunk_can_be_trained_at_its_own_rate(settings: EdgeSettings) -> None:
    task = EdgeTask(settings.model_copy(update={"train_trunk_from": 8}), RunContext())
    encoder = task.encoder
    assert isinstance(encoder, EdgeEncoder)
    trainable = [index for index, block in enumerate(encoder.trunk.blocks) if next(block.parameters()).requires_grad]
    assert trainable == [8, 9, 10]
    assert sorted({group["lr"] for group in task.parameter_groups(1e-2, 0.0)}) == pytest.approx([1e-3, 1e-2])
    task.module.train()
    assert encoder.head.training
    assert not any(module.training for module in encoder.trunk.modules())


def test_videos_without_masks_train_without_identities(settings: EdgeSettings, tmp_path: Path) -> None:
    """Only scenes, which know their objects, bring the identity term; video pairs must not pretend to."""
    assert settings.videos is not None
    for name in ("one", "two"):
        (tmp_path / name).symlink_to((settings.videos / "JPEGImages" / name).resolve())
    (tmp_path / "photo").mkdir()
    (tmp_path / "photo" / "0.jpg").write_bytes((tmp_path / "one" / "00000.jpg").read_bytes())
    pairs = settings.pairs.model_copy(update={"synthetic": 0.0})
    changes = {"videos": None, "unmasked": tmp_path, "held_out": (), "pairs": pairs}
    task = EdgeTask(settings.model_copy(update=changes), RunContext())
    sample = task.sample(0, np.random.default_rng(0))
    assert (sample.ids == -1).all()
    terms = task.module(task.collate([sample]), np.random.default_rng(0))
    assert float(terms["identity"].detach()) == 0
    assert float(terms["matching"].detach()) > 0
    assert set(task.evaluate(task.encoder, seed=0)) == {"scene_hit_3px", "scene_hit_8px"}


def test_nothing_to_train_on_is_said(settings: EdgeSettings) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        EdgeTask(settings.model_copy(update={"held_out": ("one", "two", "held")}), RunContext())


def test_tracks_and_their_share_go_together(settings: EdgeSettings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="go together"):
        EdgeTask(settings.model_copy(update={"tracks": tmp_path}), RunContext())


def test_evaluation_is_repeatable(task: EdgeTask) -> None:
    encoder = task.encoder.eval()
    figures = task.evaluate(encoder, seed=1)
    assert set(figures) == {"held_out_j", "scene_hit_3px", "scene_hit_8px"}
    assert all(0 <= value <= 1 for value in figures.values())
    assert task.evaluate(encoder, seed=1) == figures


class ColourGrid(nn.Module):
    """Colours of every fourth pixel as features: they tell a square of another colour from what is behind it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, ::4, ::4]


def test_a_carried_mask_follows_its_object(tmp_path: Path) -> None:
    """Colour finds a red square on blue to within the stride; features that are all alike find nothing."""
    for t in range(6):
        mask = masks(6)[t]
        save(tmp_path / f"{t}.png", mask)
        save(tmp_path / f"{t}.bmp", np.stack((mask, 0 * mask, 255 - mask), axis=-1))
    paths = [tuple(tmp_path / f"{t}.{kind}" for t in range(6)) for kind in ("bmp", "png")]
    video = FrameVideo("square", *paths)
    blind = nn.Sequential(ColourGrid(), nn.Threshold(1e9, 1.0))
    assert carried_mask_overlap(ColourGrid(), video, 6, step=1) > 0.75
    assert carried_mask_overlap(blind, video, 6, step=1) < 0.6


def test_an_unknown_held_out_sequence_is_refused(settings: EdgeSettings) -> None:
    with pytest.raises(DataError, match="nowhere"):
        EdgeTask(settings.model_copy(update={"held_out": ("nowhere",)}), RunContext())
