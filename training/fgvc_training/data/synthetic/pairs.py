"""Synthetic scenes as supervised training pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_training.data.sources import FlowPair, MaskedVideo
from fgvc_training.data.synthetic.make import SceneSettings, make_scene, render


class SyntheticPairs:
    """As many pairs as asked for, each from its own scene, made when it is read."""

    def __init__(self, videos: Sequence[MaskedVideo], settings: SceneSettings, length: int) -> None:
        self._videos = tuple(videos)
        self._settings = settings
        self._length = length

    def __len__(self) -> int:
        return self._length

    def pair(self, index: int, rng: np.random.Generator) -> FlowPair:
        """First and last frame of a new scene, in either order, with exact flow and visibility.

        The index does not matter: the scene is drawn from `rng`.
        """
        scene = make_scene(self._videos, self._settings, rng)
        frames = render(scene, self._settings, rng)
        reference, target = (0, len(scene) - 1) if rng.random() < 0.5 else (len(scene) - 1, 0)
        flow, visible = scene.flow(target, reference)
        flow_back, _ = scene.flow(reference, target)
        return FlowPair(
            frames[reference],
            frames[target],
            flow.permute(1, 2, 0).float().numpy(),
            flow_back.permute(1, 2, 0).float().numpy(),
            visible.numpy(),
        )
