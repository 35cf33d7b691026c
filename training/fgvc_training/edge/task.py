"""The trainer's task `edge`: data, module, learning rates and evaluation put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from fgvc_training.data.sources import MaskedVideo, Video
from fgvc_training.data.synthetic.outlines import OutlinedVideo
from fgvc_training.data.videos import FrameVideo, read_davis, read_folder
from fgvc_training.edge.batch import PairTensors
from fgvc_training.edge.module import EdgeModule
from fgvc_training.edge.pairs import ScenePairs, VideoPairs
from fgvc_training.edge.prepare import collate, mirrored, normalise, prepare_pair
from fgvc_training.edge.selection import carried_mask_overlap, match_error
from fgvc_training.edge.settings import EdgeSettings
from fgvc_training.edge.track_pairs import TrackPairs
from fgvc_training.encoder.checkpoint import load_encoder
from fgvc_training.encoder.edge import EdgeEncoder
from fgvc_training.errors import DataError, TrainingError
from fgvc_training.trainer.task import RunContext, TaskKind, decayed_groups

FRAMES_FOR_MEANS = 64
HELD_OUT_SCENES = 8
TRUNK_BLOCKS = 11


class EdgeTask:
    """See `trainer.task.Task`."""

    arch = "edge"

    def __init__(self, settings: EdgeSettings, context: RunContext) -> None:
        self._settings = settings
        check_pairs(settings)
        masked, self._held_out = read_masked(settings)
        unmasked = [] if settings.unmasked is None else read_folder(settings.unmasked)
        training: list[Video] = [*masked, *unmasked]
        if not training:
            raise DataError(
                "there is nothing to train on: name `edge.videos` beyond those held out, or `edge.unmasked`"
            )
        scene_videos: list[MaskedVideo] = [*masked, *map(OutlinedVideo, unmasked)]
        self._video_pairs = VideoPairs(training, settings.pairs)
        self._scene_pairs = ScenePairs(scene_videos, settings.pairs, context.seed)
        self._track_pairs = self._read_tracks(training)
        self._scene_videos: Sequence[MaskedVideo] = self._held_out or scene_videos
        self.encoder: nn.Module = build_encoder(settings, training, context.seed)
        self.module: nn.Module = EdgeModule(self.encoder, settings.losses, settings.pairs.synthetic)

    def sample(self, index: int, rng: np.random.Generator) -> PairTensors:
        """One pair, from a scene, a tracked video or a video."""
        raw = self._source(rng.random()).draw(rng)
        return prepare_pair(mirrored(raw) if rng.random() < 0.5 else raw, self._settings.pairs, rng)

    def _source(self, number: float) -> ScenePairs | TrackPairs | VideoPairs:
        """Where a pair with this number in 0..1 comes from."""
        pairs = self._settings.pairs
        if number < pairs.synthetic:
            return self._scene_pairs
        if self._track_pairs and number < pairs.synthetic + pairs.tracked:
            return self._track_pairs
        return self._video_pairs

    def _read_tracks(self, videos: Sequence[Video]) -> TrackPairs | None:
        folder, share = self._settings.tracks, self._settings.pairs.tracked
        if (folder is None) != (share == 0):
            raise DataError("`edge.tracks` and `edge.pairs.tracked` go together: give both or none")
        return None if folder is None else TrackPairs(videos, folder)

    def collate(self, samples: Sequence[PairTensors]) -> PairTensors:
        """See `prepare.collate`."""
        return collate(samples)

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """The trunk's trainable blocks at `trunk_rate` of the rate, head and discriminator at the full rate."""
        assert isinstance(self.encoder, EdgeEncoder)
        assert isinstance(self.module, EdgeModule)
        trunk_rate = learning_rate * self._settings.trunk_rate
        return [
            *decayed_groups(self.encoder.head, learning_rate, weight_decay),
            *decayed_groups(self.encoder.trunk, trunk_rate, weight_decay),
            *decayed_groups(self.module.paper, learning_rate, weight_decay),
        ]

    def evaluate(self, encoder: nn.Module, *, seed: int) -> dict[str, float]:
        """J of masks carried through held-out videos; hit rates on new scenes of held-out objects."""
        figures: dict[str, float] = {}
        if self._held_out:
            frames = self._settings.held_out_frames
            figures["held_out_j"] = float(
                np.mean([carried_mask_overlap(encoder, video, frames) for video in self._held_out])
            )
        rng = np.random.default_rng(seed)
        scenes = ScenePairs(self._scene_videos, self._settings.pairs, seed + 1)
        samples = [prepare_pair(scenes.draw(rng), self._settings.pairs, rng) for _ in range(HELD_OUT_SCENES)]
        near, far = match_error(encoder, samples)
        return figures | {"scene_hit_3px": near, "scene_hit_8px": far}


def check_pairs(settings: EdgeSettings) -> None:
    """Raise TrainingError if a loss has a weight but never the pairs, or the frozen trunk, that it needs."""
    losses, synthetic = settings.losses, settings.pairs.synthetic
    if losses.reconstruction_weight > 0 and synthetic == 1:
        raise TrainingError("`reconstruction_weight` needs real pairs: set `edge.pairs.synthetic` below 1")
    if losses.adversarial_weight > 0 and not 0 < synthetic < 1:
        raise TrainingError(
            "`adversarial_weight` needs both kinds of pairs: set `edge.pairs.synthetic` between 0 and 1"
        )
    if losses.teacher_weight > 0 and synthetic == 0:
        raise TrainingError("`teacher_weight` needs synthetic pairs: set `edge.pairs.synthetic` above 0")
    if losses.teacher_weight > 0 and settings.train_trunk_from < TRUNK_BLOCKS:
        raise TrainingError(
            f"the teacher is the trunk, which must then be frozen: set `edge.train_trunk_from` to {TRUNK_BLOCKS}, or "
            "`teacher_weight` to 0"
        )


def read_masked(settings: EdgeSettings) -> tuple[list[FrameVideo], list[FrameVideo]]:
    """Sequences with masks: those to train on, and those held out.  Raises DataError for a name that is not there."""
    videos = [] if settings.videos is None else read_davis(settings.videos, resolution=None)
    unknown = set(settings.held_out) - {video.name for video in videos}
    if unknown:
        raise DataError(f"held_out names {sorted(unknown)}, not under {settings.videos}: correct it")
    return (
        [video for video in videos if video.name not in settings.held_out],
        [video for video in videos if video.name in settings.held_out],
    )


def build_encoder(settings: EdgeSettings, videos: Sequence[Video], seed: int) -> EdgeEncoder:
    """The encoder of `settings.start`, or an untrained head on the ImageNet trunk with means measured on `videos`."""
    encoder = EdgeEncoder()
    if settings.start is None:
        encoder.trunk.load_state_dict(load_encoder(settings.imagenet, "edge_lite0")[0].state_dict())
        encoder.eval().measure_means(_random_frames(settings, videos, seed))
    else:
        encoder.load_state_dict(load_encoder(settings.start, "edge")[0].state_dict())
    encoder.trunk.requires_grad_(False)
    encoder.trunk.blocks[settings.train_trunk_from :].requires_grad_(True)
    return encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _random_frames(settings: EdgeSettings, videos: Sequence[Video], seed: int) -> torch.Tensor:
    """[FRAMES_FOR_MEANS, 3, size, size], normalised."""
    rng = np.random.default_rng(seed)
    size = (settings.pairs.size, settings.pairs.size)
    chosen = [videos[int(rng.integers(len(videos)))] for _ in range(FRAMES_FOR_MEANS)]
    frames = [torch.from_numpy(video.read([int(rng.integers(len(video)))])[0]) for video in chosen]
    small = [
        nn.functional.interpolate(frame.permute(2, 0, 1)[None].float() / 255, size, mode="area") for frame in frames
    ]
    return normalise(torch.cat(small))


KIND = TaskKind(EdgeSettings, EdgeTask)
