"""Planar video: a flat object whose frames are related by homographies, so every point on it has an exact track.

Layout: ROOT/<sequence>/*.jpg and ROOT/<sequence>_derived_H.json with `quad` (the object's corners in the first frame)
and, per frame, `H` (first-frame pixels to this frame's) and `valid`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.datasets.frames import FrameFiles, list_files
from fgvc_deploy.errors import InputError

SUFFIX = "_derived_H.json"


class PlanarClip(NamedTuple):
    """`homographies` float64 [T, 3, 3] from the first frame to each of `frames`, `valid` bool [T], `quad` [4, 2]."""

    name: str
    frames: FrameFiles
    homographies: NDArray[np.float64]
    valid: NDArray[np.bool_]
    quad: NDArray[np.float64]

    def tracks(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exact tracks [N, T, 2] of points [N, 2] given in the first frame."""
        return np.stack([transfer(points, matrix) for matrix in self.homographies], axis=1)

    def grid(self, per_side: int = 8, margin: float = 0.1) -> NDArray[np.float64]:
        """Points [per_side**2, 2] on the object in the first frame, `margin` of a side away from its edges."""
        u = np.linspace(margin, 1 - margin, per_side)
        s, t = (axis.reshape(-1, 1) for axis in np.meshgrid(u, u))
        top_left, top_right, bottom_right, bottom_left = self.quad
        top, bottom = top_left + s * (top_right - top_left), bottom_left + s * (bottom_right - bottom_left)
        points: NDArray[np.float64] = top + t * (bottom - top)
        return points


def transfer(points: NDArray[np.float64], homography: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [.., 2] (x, y) through a 3x3 homography."""
    projected = points @ homography[:, :2].T + homography[:, 2]
    return projected[..., :2] / projected[..., 2:]


def read_planar(root: Path, *, anchored: bool = True) -> list[PlanarClip]:
    """All sequences with homographies, by name.

    The stored homography of the first frame is not quite the identity: all share an error of up to 0.75 px at
    1280x720.  `anchored` takes it out, so that a point's track starts at the point itself.
    Raises InputError if the annotation or a frame is missing or damaged.
    """
    files = [file for file in list_files(root, (".json",), "homographies") if file.name.endswith(SUFFIX)]
    if not files:
        raise InputError(f"{root} holds no <sequence>{SUFFIX}: check --root against the layout in the docs.")
    return [_clip(root, file, anchored=anchored) for file in files]


def _clip(root: Path, file: Path, *, anchored: bool) -> PlanarClip:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        matrices = np.array([entry["H"] for entry in content["frames"]], np.float64)
        valid = np.array([entry["valid"] for entry in content["frames"]], bool)
        names = [entry["frame"] for entry in content["frames"]]
        quad = np.array(content["quad"], np.float64).reshape(4, 2)
        matrices = matrices.reshape(len(names), 3, 3)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no homography file ({error!r}): get it again from its source.") from error
    name = file.name.removesuffix(SUFFIX)
    if anchored:
        matrices = matrices @ np.linalg.inv(matrices[0])
    frames = FrameFiles(tuple(root / name / frame for frame in names))
    missing = [path for path in frames.paths if not path.is_file()]
    if missing:
        raise InputError(f"{len(missing)} frames of {file} are missing, the first is {missing[0]}: get them again.")
    return PlanarClip(name, frames, matrices, valid, quad)
