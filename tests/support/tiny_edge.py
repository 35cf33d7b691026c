"""The edge encoder's training at a size for tests: tiny videos, an untrained trunk, 64-pixel crops."""

from __future__ import annotations

from pathlib import Path

from fgvc_training.data.synthetic.make import SceneSettings
from fgvc_training.edge.settings import EdgeSettings, LossSettings, PairSettings
from fgvc_training.encoder.checkpoint import save_encoder
from fgvc_training.encoder.untrained import untrained_encoder
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
