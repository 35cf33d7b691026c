"""DAVIS 2016 and 2017: frames and object masks of a sequence.

Layout: ROOT/JPEGImages/<resolution>/<sequence>/*.jpg, ROOT/Annotations/<resolution>/<sequence>/*.png and, if there,
ROOT/ImageSets/<year>/<split>.txt, one sequence per line.  2016 masks are 0/255 (one object), 2017 masks palette
images with object ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.datasets.frames import FrameFiles, list_files, read_object_ids
from fgvc_deploy.errors import InputError


class DavisSequence(NamedTuple):
    """`frames` of one sequence and the mask file of each frame."""

    name: str
    frames: FrameFiles
    mask_paths: tuple[Path, ...]

    def labels(self, index: int) -> NDArray[np.uint8]:
        """Object ids of frame `index`, uint8 [H, W], 0 = background; the single object of 2016 has id 1."""
        return read_object_ids(self.mask_paths[index])


def read_davis(
    root: Path, *, split: str | None = None, year: str | None = None, resolution: str = "480p"
) -> list[DavisSequence]:
    """Sequences of a split of a year, or, without `split`, all that have masks, by name.

    Raises InputError if a folder or list is missing or a sequence has not one mask for each frame.
    """
    annotations = root / "Annotations" / resolution
    if not annotations.is_dir():
        raise InputError(
            f"there is no folder {annotations}: --root must hold JPEGImages and Annotations/{resolution}."
        )
    if split is None:
        names = sorted(path.name for path in annotations.iterdir() if path.is_dir())
    else:
        names = _split_names(root, split, year)
    return [_sequence(root, name, resolution) for name in names]


def _split_names(root: Path, split: str, year: str | None) -> list[str]:
    years = [year] if year else ["2017", "2016"]
    for candidate in years:
        path = root / "ImageSets" / candidate / f"{split}.txt"
        if path.is_file():
            return path.read_text(encoding="utf-8").split()
    raise InputError(
        f"there is no list {split}.txt under {root / 'ImageSets'} for {' or '.join(years)}: check --root."
    )


def _sequence(root: Path, name: str, resolution: str) -> DavisSequence:
    frames = list_files(root / "JPEGImages" / resolution / name, (".jpg", ".jpeg"), "frames")
    masks = list_files(root / "Annotations" / resolution / name, (".png",), "masks")
    if [path.stem for path in frames] != [path.stem for path in masks]:
        raise InputError(
            f"the sequence {name} under {root} has {len(frames)} frames but {len(masks)} masks, or other names."
        )
    return DavisSequence(name, FrameFiles(frames), masks)
