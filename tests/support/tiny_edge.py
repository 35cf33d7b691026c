"""The edge encoder's training at a size for tests: tiny videos, an untrained trunk, 64-pixel crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fgvc_training.data.synthetic.make import SceneSettings
from fgvc_training.edge.settings import EdgeSettings, LossSettings, PairSettings
from fgvc_training.encoder.checkpoint import save_encoder
from fgvc_training.encoder.untrained import untrained_encoder
from fgvc_training.trainer.config import TrainingConfig, check_config
from tiny_data import write_davis


def tiny_edge_settings(root: Path) -> EdgeSettings:
    """Settings whose data and trunk are written to `root`; of three sequences one is held out."""
    for name in ("one", "two", "held"):
        write_davis(root, name, 6, resolution="")
    save_encoder(untrained_encoder("edge_lite0"), root / "trunk.safetensors", "edge_lite0")
    pairs = PairSettings(size=64, area=(0.6, 0.9), pool=2, longest_gap=3, scenes=SceneSettings(size=(72, 72)))
    return EdgeSettings(
        imagenet=root / "trunk.safetensors",
        videos=root,
        held_out=("held",),
        held_out_frames=3,
        losses=LossSettings(queries=64, radius=8.0),
        pairs=pairs,
    )


def with_paper_losses(settings: EdgeSettings) -> EdgeSettings:
    """The same with a weight on each of the paper's losses."""
    weights = {"reconstruction_weight": 1.0, "teacher_weight": 0.5, "adversarial_weight": 2.0}
    return settings.model_copy(update={"losses": settings.losses.model_copy(update=weights)})


def paper_config(settings: EdgeSettings, **training: Any) -> TrainingConfig:
    """Four steps of two pairs, with the paper's losses."""
    loop = {"steps": 4, "batch": 2, "workers": 0, "threads": 1, "evaluate_every": 0, "log_every": 1} | training
    table = with_paper_losses(settings).model_dump(mode="json")
    return check_config({"task": "edge", "seed": 2, "training": loop, "edge": table}, "test")
