"""Optical flow pairs of the Middlebury layout, and the .flo format.

Layout: ROOT/<scene>/frame10.png, frame11.png, flow10.flo (flow of frame10's pixels to frame11).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.datasets.frames import FrameFiles
from fgvc_deploy.errors import InputError

MAGIC = b"PIEH"
UNKNOWN = 1e9
"""Flow components larger than this mark pixels without ground truth."""


class FlowPair(NamedTuple):
    """Two frames, `flow` float32 [H, W, 2] (x, y) from the first to the second, and `known` bool [H, W]."""

    name: str
    frames: FrameFiles
    flow: NDArray[np.float32]
    known: NDArray[np.bool_]


def read_flow_pairs(root: Path) -> list[FlowPair]:
    """All scenes of a folder, by name.  Raises InputError if there is none, or one is incomplete or damaged."""
    files = sorted(root.glob("*/flow10.flo"))
    if not files:
        raise InputError(f"{root} holds no <scene>/flow10.flo: check --root against the layout in the docs.")
    return [_pair(file) for file in files]


def read_flo(path: Path) -> NDArray[np.float32]:
    """A .flo file, float32 [H, W, 2] (x, y).  Raises InputError if it is missing or damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check --root against the layout in the docs.") from None
    if len(data) < 12 or data[:4] != MAGIC:
        raise InputError(f"{path} is no .flo file: it must begin with {MAGIC.decode()}.")
    width, height = struct.unpack_from("<ii", data, 4)
    if width <= 0 or height <= 0 or len(data) != 12 + width * height * 8:
        raise InputError(f"{path} is damaged: {len(data)} bytes do not fit {width} x {height} pixels.")
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)


def _pair(file: Path) -> FlowPair:
    flow = read_flo(file)
    frames = FrameFiles((file.with_name("frame10.png"), file.with_name("frame11.png")))
    missing = [path for path in frames.paths if not path.is_file()]
    if missing:
        raise InputError(f"the frame {missing[0]} of {file} is missing: get it again from its source.")
    known: NDArray[np.bool_] = np.abs(flow).max(-1) < UNKNOWN
    return FlowPair(file.parent.name, frames, flow, known)
