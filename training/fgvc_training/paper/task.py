"""The trainer's task `fgvc`: the paper's objective on a Lab encoder, with data and teacher by configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from fgvc_training.data.prepare import PreparedPair, PrepareSettings, collate, prepare_pair, prepare_video
from fgvc_training.data.sources import random_clip
from fgvc_training.discriminator import CorrelationDiscriminator
from fgvc_training.encoder.architectures import architecture
from fgvc_training.encoder.checkpoint import load_encoder
from fgvc_training.errors import DataError, TrainingError
from fgvc_training.objective import ObjectiveSettings, TrainingBatch, TrainingObjective
from fgvc_training.paper.evaluation import matching_figures
from fgvc_training.paper.sources import PairSource, VideoSource
from fgvc_training.paper.teacher import TeacherSettings, make_teacher
from fgvc_training.quirks import Quirks
from fgvc_training.trainer.seeding import stream
from fgvc_training.trainer.task import RunContext, TaskKind, decayed_groups
from fgvc_training.trainer.threads import threads

Sample = tuple[Tensor, PreparedPair]


class EvaluationSettings(BaseModel):
    """`count` held-out pairs of `source`, cut to `size`, the same at every evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: PairSource
    count: Annotated[int, Field(ge=1)] = 16
    size: tuple[int, int] = (256, 256)


class PaperSettings(BaseModel):
    """The table `[fgvc]`.

    `initial` is a checkpoint to start from.  `video` is unlabelled, `pairs` have flow; `prepare_video` and
    `prepare_pairs` say how they are cut and augmented.  A clip has `frames` frames, one of `steps` apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str = "resnet18_d1"
    initial: Path | None = None
    objective: ObjectiveSettings = ObjectiveSettings()
    teacher: TeacherSettings = TeacherSettings()
    video: VideoSource
    pairs: PairSource
    frames: Annotated[int, Field(ge=2)] = 2
    steps: tuple[Annotated[int, Field(ge=1)], ...] = (1,)
    prepare_video: PrepareSettings = PrepareSettings()
    prepare_pairs: PrepareSettings = PrepareSettings()
    evaluation: EvaluationSettings | None = None

    @field_validator("objective", mode="before")
    @classmethod
    def _named_quirks(cls, value: Any) -> Any:
        """`quirks = "reference"` turns all switches on, `"corrected"` all off."""
        named = {"reference": Quirks.reference(), "corrected": Quirks()}
        if isinstance(value, dict) and isinstance(value.get("quirks"), str) and value["quirks"] in named:
            return value | {"quirks": named[value["quirks"]].model_dump()}
        return value


class PaperModule(nn.Module):
    """The objective as the trainer wants it."""

    def __init__(self, objective: TrainingObjective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, batch: TrainingBatch, rng: np.random.Generator) -> dict[str, Tensor]:
        """All terms; one with weight 0 is 0."""
        return dict(self.objective(batch, rng)._asdict())


class PaperTask:
    """See `trainer.task.Task`."""

    def __init__(self, settings: PaperSettings, context: RunContext) -> None:
        row = architecture(settings.arch)
        if row.preprocess.color_space != "lab" or row.stride != settings.objective.stride:
            raise TrainingError(
                f"{row.name} takes {row.preprocess.color_space} frames and has stride {row.stride}, but the "
                f"objective hides Lab channels and has stride {settings.objective.stride}: choose another fgvc.arch, "
                "or correct fgvc.objective.stride"
            )
        self.arch = row.name
        self._settings, self._seed = settings, context.seed
        self._held_out_pairs: dict[int, list[PreparedPair]] = {}
        self._last_order: tuple[int, NDArray[np.int64]] | None = None
        self._videos = [video for video in settings.video.videos() if len(video) >= settings.frames]
        self._pairs = settings.pairs.pairs()
        if not self._videos:
            raise DataError(f"no video under {settings.video.root} has {settings.frames} frames: choose other videos")
        self.encoder: nn.Module = load_encoder(settings.initial, row.name)[0] if settings.initial else row.build()
        entries, adversarial = settings.objective.window_entries, settings.objective.adversarial_weight > 0
        self.module: nn.Module = PaperModule(
            TrainingObjective(
                self.encoder,
                make_teacher(settings.teacher, row.stride),
                CorrelationDiscriminator(entries) if adversarial else None,
                settings.objective,
                across_processes=context.processes > 1,
            )
        )

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """A clip and a pair.  Every pass over the pairs is in a new order, with the videos taken in turn."""
        number = self._order(index // len(self._pairs))[index % len(self._pairs)]
        settings = self._settings
        video = self._videos[number % len(self._videos)]
        clip = random_clip(video, rng, frames=settings.frames, steps=settings.steps)
        pair = self._pairs.pair(int(number), rng)
        return prepare_video(clip, settings.prepare_video, rng), prepare_pair(pair, settings.prepare_pairs, rng)

    def collate(self, samples: Sequence[Sample]) -> TrainingBatch:
        """One process's share of a batch."""
        clips, pairs = zip(*samples, strict=True)
        return collate(clips, pairs)

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Encoder and discriminator at one rate; the teacher is frozen."""
        return decayed_groups(self.module, learning_rate, weight_decay)

    def evaluate(self, encoder: nn.Module, *, seed: int) -> dict[str, float]:
        """`matching_figures` on the held-out pairs; nothing without a table `[fgvc.evaluation]`."""
        objective = self._settings.objective
        pairs = self._held_out(seed)
        if not pairs:
            return {}
        return matching_figures(
            encoder, pairs, stride=objective.stride, radius=objective.radius, temperature=objective.temperature
        )

    def _held_out(self, seed: int) -> list[PreparedPair]:
        settings = self._settings.evaluation
        if settings is None:
            return []
        if seed in self._held_out_pairs:
            return self._held_out_pairs[seed]
        source, made = settings.source.pairs(), []
        prepare = PrepareSettings(size=settings.size, flip=0.0, blur=0.0)
        for number in range(settings.count):
            rng = stream(seed, "evaluation", number)
            index = int(rng.integers(len(source)))
            # As in the background workers: the pairs must not depend on the number of threads.
            with threads(1):
                made.append(prepare_pair(source.pair(index, rng), prepare, rng))
        self._held_out_pairs = {seed: made}
        return made

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if self._last_order is None or self._last_order[0] != epoch:
            self._last_order = epoch, stream(self._seed, "epoch", epoch).permutation(len(self._pairs))
        return self._last_order[1]


KIND = TaskKind(PaperSettings, PaperTask)
