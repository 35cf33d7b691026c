"""BADJA: animal joints on DAVIS sequences.

Layout: ROOT/badja/joint_annotations/<sequence>.json beside ROOT/davis16 (or any folder of the DAVIS layout).  Joints
are [row, column] at 1920x1080 whatever the resolution of the frames; they are scaled to the frames' own size.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.datasets.frames import FrameFiles, list_files, read_foreground
from fgvc_deploy.errors import InputError

ANNOTATED_WH = (1920, 1080)
EXTRA_VIDEOS = "extra_videos"
"""Annotations under this folder belong to videos that are not part of DAVIS and are not scored."""


class BadjaClip(NamedTuple):
    """Frames from the first to the last annotated one, with joints in pixels of the frames.

    `joints` float64 [N, T, 2] (x, y); `visible` bool [N, T]; `mask_area` int64 [T] in pixels; in frames without
    annotation these are False and 0.  Joints that no frame shows are left out.
    """

    name: str
    frames: FrameFiles
    joints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    mask_area: NDArray[np.int64]


Area = Callable[[NDArray[np.bool_]], int]


def foreground_area(mask: NDArray[np.bool_]) -> int:
    """Pixels of a mask [H, W]."""
    return int(mask.sum())


def read_badja(
    root: Path, *, davis: str = "davis16", resolution: str = "480p", area: Area = foreground_area
) -> list[BadjaClip]:
    """All annotated sequences whose frames are there, by name.

    `area` counts the pixels of a mask; the published code resizes it first (`metrics.badja.mask_area_at`).
    Raises InputError if the annotations, a frame or a mask is missing, or no sequence has frames.
    """
    files = list_files(root / "badja" / "joint_annotations", (".json",), "joint annotations")
    clips = [_clip(file, root / davis, resolution, area) for file in files if _is_scored(file)]
    found = [clip for clip in clips if clip is not None]
    if not found:
        raise InputError(
            f"no annotated sequence has frames under {root / davis / 'JPEGImages' / resolution}: check --root."
        )
    return found


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        if not entries or not all({"image_path", "joints", "visibility"} <= entry.keys() for entry in entries):
            raise ValueError("no list of image_path, joints, visibility")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{file} is no BADJA annotation ({error}): get it again from its source.") from error
    return entries


def _is_scored(file: Path) -> bool:
    return EXTRA_VIDEOS not in _entries(file)[0]["image_path"]


def _clip(file: Path, davis: Path, resolution: str, area: Area) -> BadjaClip | None:
    entries = {int(Path(entry["image_path"]).stem): entry for entry in _entries(file)}
    name = Path(next(iter(entries.values()))["image_path"]).parent.name
    folder = davis / "JPEGImages" / resolution / name
    if not folder.is_dir():
        return None
    numbers = range(min(entries), max(entries) + 1)
    frames = FrameFiles(tuple(folder / f"{number:05d}.jpg" for number in numbers))
    missing = [path.name for path in frames.paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} annotated frames, the first is {missing[0]}: get them again."
        )
    height, width = frames[0].shape[:2]
    joints, visible, mask_area = _annotation(entries, numbers, davis / "Annotations" / resolution / name, area)
    shown = visible.any(1)
    scale = np.array((width, height)) / np.array(ANNOTATED_WH)
    return BadjaClip(name, frames, joints[shown] * scale, visible[shown], mask_area)


def _annotation(
    entries: dict[int, dict[str, Any]], numbers: range, masks: Path, area: Area
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Joints (x, y) as stored, visibility and mask area of every frame in `numbers`."""
    count = len(next(iter(entries.values()))["joints"])
    joints = np.zeros((count, len(numbers), 2))
    visible = np.zeros((count, len(numbers)), bool)
    mask_area = np.zeros(len(numbers), np.int64)
    for number, entry in entries.items():
        at = number - numbers.start
        joints[:, at] = np.asarray(entry["joints"], np.float64)[:, ::-1]
        visible[:, at] = np.asarray(entry["visibility"], bool)
        mask_area[at] = area(read_foreground(masks / f"{number:05d}.png"))
    return joints, visible, mask_area
