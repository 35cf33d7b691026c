"""Which data a configuration names: tables with a `kind`, and the readers they open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fgvc_training.data.flyingthings import FlyingThings
from fgvc_training.data.sources import FlowPairs, MaskedVideo, Video
from fgvc_training.data.synthetic.make import SceneSettings
from fgvc_training.data.synthetic.outlines import OutlinedVideo
from fgvc_training.data.synthetic.pairs import SyntheticPairs
from fgvc_training.data.videos import read_davis, read_folder, read_youtube_vos
from fgvc_training.errors import DataError


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path


class YouTubeVos(_Source):
    """YouTube-VOS videos: `root`/`frames`/<video>/*.jpg and the JSON `list` of frames."""

    kind: Literal["youtube_vos"]
    list: Path
    frames: str = "train/JPEGImages"

    def videos(self) -> Sequence[Video]:
        """All listed videos."""
        return read_youtube_vos(self.root, self.list, frames=self.frames)


class Davis(_Source):
    """DAVIS sequences; only those in `names`, without those in `without`.  `resolution` "" means none in the path."""

    kind: Literal["davis"]
    resolution: str = "480p"
    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def videos(self) -> Sequence[MaskedVideo]:
        """The sequences, with masks.  Raises DataError for a name that is not there."""
        found = read_davis(self.root, resolution=self.resolution or None)
        unknown = {*self.names, *self.without} - {video.name for video in found}
        if unknown:
            raise DataError(f"there is no sequence {', '.join(sorted(unknown))} under {self.root}: correct the names")
        chosen = [video for video in found if not self.names or video.name in self.names]
        return [video for video in chosen if video.name not in self.without]


class Folder(_Source):
    """Any folder of video files or of folders of images."""

    kind: Literal["folder"]

    def videos(self) -> Sequence[Video]:
        """Everything found below `root`."""
        return read_folder(self.root)


VideoSource = Annotated[YouTubeVos | Davis | Folder, Field(discriminator="kind")]


class FlyingThings3D(_Source):
    """FlyingThings3D's `split`, WebP frames in `frames`, one camera."""

    kind: Literal["flyingthings"]
    split: str = "TRAIN"
    frames: str = "frames_cleanpass_webp"
    camera: str = "left"

    def pairs(self) -> FlowPairs:
        """Neighbouring frames with flow, in both directions of time."""
        return FlyingThings(self.root, split=self.split, frames=self.frames, camera=self.camera)


class SyntheticScenes(BaseModel):
    """Exact scenes made from `videos`: objects of DAVIS, or blobs cut out of videos without masks.

    `length` is how many pairs count as one pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["synthetic"]
    videos: VideoSource
    scene: SceneSettings = SceneSettings()
    length: Annotated[int, Field(ge=1)] = 10_000

    def pairs(self) -> FlowPairs:
        """A new scene for every pair."""
        masked = (
            self.videos.videos() if isinstance(self.videos, Davis) else list(map(OutlinedVideo, self.videos.videos()))
        )
        return SyntheticPairs(masked, self.scene, self.length)


PairSource = Annotated[FlyingThings3D | SyntheticScenes, Field(discriminator="kind")]
