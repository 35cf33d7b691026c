"""`FineStage`: what a point tracker asks of the fine stage, and whether it is wanted at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.fine.patches import FinePoints
from fgvc_deploy.fine.picture import Picture, PicturedFeatures, picture_of
from fgvc_deploy.preprocess.resize import resize_linear
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.stages import StageTimer
from fgvc_deploy.trackers.point_group import PointGroup


class FineStage:
    """Makes pictures beside features, and lets every group's `FinePoints` look at them.

    Switched off it passes everything through, and nothing is computed.
    """

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._picture: Picture | None = None

    def encode(
        self, engine: Engine, frame: NDArray[np.uint8], network_hw: tuple[int, int], timer: StageTimer
    ) -> FeatureMap:
        """Features of a frame, with its picture when switched on."""
        if not self.on:
            return engine.features(frame, network_hw, timer)
        with timer.stage("picture"):
            # The preprocessor resizes by the same function and leaves a frame of network size alone.
            small = resize_linear(frame, network_hw) if frame.shape[:2] != network_hw else frame
            picture = picture_of(small)
        return PicturedFeatures(engine.features(small, network_hw, timer), picture)

    def take(self, features: FeatureMap) -> FeatureMap:
        """The features alone; their picture is now the newest frame's, None for features made elsewhere."""
        if isinstance(features, PicturedFeatures):
            self._picture = features.picture
            return features.features
        self._picture = None
        return features

    def start(self, group: PointGroup) -> None:
        """A group starts on the newest frame."""
        if self._picture is not None:
            group.fine = FinePoints.start(self._picture, group.xy)

    def follow(self, groups: Sequence[PointGroup], timer: StageTimer) -> None:
        """The newest frame's labels were read; points that vanished have confidence 0."""
        if not self.on:
            return
        with timer.stage("fine"):
            for group in groups:
                if group.fine is not None:
                    group.fine.follow(self._picture, group.xy, group.confidence == 0)
