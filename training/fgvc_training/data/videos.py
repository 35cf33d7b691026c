"""Videos for self-supervised training: YouTube-VOS, DAVIS, and any folder of videos or of frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fgvc_training.data.files import images_in, read_mask, read_rgb
from fgvc_training.data.sources import Video
from fgvc_training.data.video_file import VIDEO_SUFFIXES, VideoFile
from fgvc_training.errors import DataError


@dataclass(frozen=True)
class FrameVideo:
    """A video whose frames are image files; `masks`, if there are any, belong to the frames one by one."""

    name: str
    paths: tuple[Path, ...]
    masks: tuple[Path, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The frames at `indices`, uint8 RGB [n, H, W, 3]."""
        return np.stack([read_rgb(self.paths[index]) for index in indices])

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Object ids or grey values of frame `index`, uint8 [H, W]."""
        return read_mask(self.masks[index])


def read_youtube_vos(root: Path, frame_list: Path, *, frames: str = "train/JPEGImages") -> list[Video]:
    """YouTube-VOS: ROOT/<frames>/<video>/<frame>.jpg, with a JSON list {video: [frame, ..]} of what to use.

    Frames are named with or without `.jpg`.  Raises DataError if the list or a listed frame is missing.
    """
    try:
        listed = json.loads(frame_list.read_text(encoding="utf-8"))
        videos = {str(name): [str(frame) for frame in names] for name, names in listed.items()}
    except FileNotFoundError:
        raise DataError(f"there is no list {frame_list}: give the JSON of videos and frames") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{frame_list} is no JSON object of frame lists ({error})") from error
    return [
        _listed_video(name, [root / frames / name / Path(frame).with_suffix(".jpg") for frame in names])
        for name, names in sorted(videos.items())
    ]


def read_davis(
    root: Path, *, resolution: str | None = "480p", names: Sequence[str] | None = None
) -> list[FrameVideo]:
    """DAVIS: ROOT/JPEGImages/<resolution>/<sequence>/*.jpg, and masks likewise in ROOT/Annotations.

    `resolution` None means sequences lie directly below.  `names` restricts the sequences.
    Raises DataError if there is none, or frames and masks do not correspond.
    """
    frames, masks = (root / part / (resolution or "") for part in ("JPEGImages", "Annotations"))
    folders = sorted(path for path in frames.glob("*") if path.is_dir() and (names is None or path.name in names))
    if not folders:
        raise DataError(f"there is no sequence under {frames}: check the root folder and the resolution")
    videos = [FrameVideo(path.name, images_in(path), images_in(masks / path.name)) for path in folders]
    for video in videos:
        if [path.stem for path in video.paths] != [path.stem for path in video.masks]:
            raise DataError(f"{video.name} under {root} has {len(video.paths)} frames and {len(video.masks)} masks")
    return videos


def read_folder(root: Path) -> list[Video]:
    """Any folder, searched below: every video file, and every folder of images, is one video.

    Raises DataError if there is none.
    """
    files: list[Video] = [
        VideoFile(path) for path in sorted(root.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES
    ]
    folders = [path for path in sorted([root, *root.rglob("*")]) if path.is_dir() and images_in(path)]
    videos = files + [FrameVideo(str(path.relative_to(root)), images_in(path)) for path in folders]
    if not videos:
        raise DataError(f"{root} holds neither videos ({' '.join(VIDEO_SUFFIXES)}) nor folders of images")
    return videos


def _listed_video(name: str, paths: list[Path]) -> FrameVideo:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} listed frames of {name} are missing, the first is {missing[0]}")
    return FrameVideo(name, tuple(paths))
