"""JHMDB: human joints, test videos of the first split, as tracking papers score them.

Layout: ROOT/splits/<action>_test_split1.txt with lines `<video>.avi 1|2` (2 = test),
ROOT/joint_positions/<action>/<video>/joint_positions.mat, ROOT/Rename_Images/<action>/<video>/*.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.datasets.frames import FrameFiles, list_files
from fgvc_benchmarks.datasets.matfile import read_mat
from fgvc_deploy.errors import InputError

SPLIT_SUFFIX = "_test_split1.txt"
TEST = "2"
JOINTS = 15


class JhmdbClip(NamedTuple):
    """`frames` of a video and `joints` float64 [15, T, 2], (x, y) pixels from 0.

    Some annotations are shorter than their video; frames and joints are cut to the shorter.
    """

    name: str
    frames: FrameFiles
    joints: NDArray[np.float64]


def read_jhmdb(root: Path) -> list[JhmdbClip]:
    """All test videos of split 1 that are annotated, by action and name.

    Raises InputError if the splits, a video's frames or its annotation cannot be read.
    """
    clips = []
    for file in list_files(root / "splits", (".txt",), "JHMDB splits"):
        if file.name.endswith(SPLIT_SUFFIX):
            action = file.name.removesuffix(SPLIT_SUFFIX)
            clips += [_clip(root, action, video) for video in _test_videos(file)]
    if not clips:
        raise InputError(f"{root / 'splits'} names no test video of split 1: it needs <action>{SPLIT_SUFFIX}.")
    return clips


def _test_videos(file: Path) -> list[str]:
    rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not all(len(row) == 2 for row in rows):
        raise InputError(f"{file} is no JHMDB split: each line must be a video and 0, 1 or 2.")
    return sorted(Path(video).stem for video, part in rows if part == TEST)


def _clip(root: Path, action: str, video: str) -> JhmdbClip:
    path = root / "joint_positions" / action / video / "joint_positions.mat"
    positions = read_mat(path).get("pos_img")
    if positions is None or positions.ndim != 3 or positions.shape[:2] != (2, JOINTS):
        raise InputError(f"{path} has no pos_img of 2 x {JOINTS} x frames: get it again from its source.")
    frames = list_files(root / "Rename_Images" / action / video, (".png",), "frames")
    count = min(len(frames), positions.shape[2])
    # MATLAB counts pixels from 1.
    joints = positions.astype(np.float64).transpose(1, 2, 0)[:, :count] - 1
    return JhmdbClip(f"{action}/{video}", FrameFiles(frames[:count]), joints)
