"""Random scenes: a frame of one video as background, cut-outs of others as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fgvc_training.augment.photometric import PhotometricSettings, change_photometry, gaussian_blur
from fgvc_training.data.sources import MaskedVideo
from fgvc_training.data.synthetic.motion import Motion
from fgvc_training.data.synthetic.paths import MotionSettings, random_motion
from fgvc_training.data.synthetic.scene import Layer, Scene
from fgvc_training.errors import DataError

Count = Annotated[int, Field(ge=0, le=16)]
TRIES = 20


class SceneSettings(BaseModel):
    """Size and make-up of random scenes; `scale` is how much a cut-out may be shrunk or enlarged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] = (256, 256)
    frames: Annotated[int, Field(ge=1)] = 2
    layers: tuple[Count, Count] = (1, 4)
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.6, 1.6)
    smallest_cut_out: Annotated[float, Field(gt=0, lt=1)] = 0.01
    background_motion: MotionSettings = MotionSettings(shift=6.0, turn=0.03, zoom=0.03, tilt=0.05, bend=0.05)
    layer_motion: MotionSettings = MotionSettings()
    photometric: PhotometricSettings | None = PhotometricSettings()


class CutOut(NamedTuple):
    """An object out of a frame: `rgb` uint8 [h, w, 3] and `mask` bool [h, w]."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def make_scene(videos: Sequence[MaskedVideo], settings: SceneSettings, rng: np.random.Generator) -> Scene:
    """A scene out of videos with masks; the same generator state gives the same scene.

    Raises DataError if the videos hold no object as large as `smallest_cut_out` of its frame.
    """
    background = _background(videos, settings, rng)
    count = int(rng.integers(settings.layers[0], settings.layers[1] + 1))
    cuts = [random_cut_out(videos, settings.smallest_cut_out, rng) for _ in range(count)]
    return Scene([background, *(_layer(cut, settings, rng) for cut in cuts)], settings.size)


def render(scene: Scene, settings: SceneSettings, rng: np.random.Generator) -> NDArray[np.uint8]:
    """All frames, uint8 RGB [T, H, W, 3], after the photometric change."""
    frames = torch.stack([scene.image(frame) for frame in range(len(scene))])
    if settings.photometric is not None:
        frames = change_photometry(frames, settings.photometric, rng)
    pixels: NDArray[np.uint8] = (frames * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def random_cut_out(videos: Sequence[MaskedVideo], smallest: float, rng: np.random.Generator) -> CutOut:
    """The object of a random frame of a random video, cut to its bounding box and 2 pixels around."""
    for _ in range(TRIES):
        video = videos[int(rng.integers(len(videos)))]
        index = int(rng.integers(len(video)))
        mask = video.mask(index) > 0
        if mask.mean() >= smallest:
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = tuple(slice(max(int(part[0]) - 2, 0), int(part[-1]) + 3) for part in (rows, columns))
            return CutOut(video.read([index])[0][box], mask[box])
    raise DataError(
        f"{TRIES} random frames hold no object of {smallest:.0%} of the frame: give videos with masks of objects"
    )


def _background(videos: Sequence[MaskedVideo], settings: SceneSettings, rng: np.random.Generator) -> Layer:
    video = videos[int(rng.integers(len(videos)))]
    rgb = _planes(video.read([int(rng.integers(len(video)))])[0])
    motion = _placed(rgb.shape[-2:], settings, settings.background_motion, 1.0, 0.0, rng)
    return Layer(rgb, None, motion)


def _layer(cut: CutOut, settings: SceneSettings, rng: np.random.Generator) -> Layer:
    rgb = _planes(cut.rgb)
    # A little blur takes the stairs off the mask's edge.
    opacity = gaussian_blur(torch.from_numpy(cut.mask)[None, None].float(), 0.7)[0]
    scale = float(np.exp(rng.uniform(*np.log(settings.scale))))
    if rng.random() < 0.5:
        rgb, opacity = rgb.flip(-1), opacity.flip(-1)
    return Layer(rgb, opacity, _placed(rgb.shape[-2:], settings, settings.layer_motion, scale, 0.5, rng))


def _placed(
    layer_hw: Sequence[int],
    settings: SceneSettings,
    motion: MotionSettings,
    scale: float,
    spread: float,
    rng: np.random.Generator,
) -> Motion:
    """A motion starting around the middle of the frame, at most `spread` of its sides away."""
    height, width = settings.size
    centre = (width * (0.5 + spread * rng.uniform(-1, 1)), height * (0.5 + spread * rng.uniform(-1, 1)))
    return random_motion(settings.frames, (layer_hw[0], layer_hw[1]), centre, scale, motion, rng)


def _planes(rgb: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float() / 255
