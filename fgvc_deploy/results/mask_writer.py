"""Masks as palette PNGs, one per frame, the way DAVIS stores them.  Reading a first mask: `mask_file.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvc_deploy.results.disk import disk_errors
from fgvc_deploy.results.palette import DAVIS_PALETTE


class MaskWriter:
    """Writes `masks/00000.png`, `masks/00001.png`, ...: 8-bit palette PNGs whose pixel values are the object ids."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "masks"
        self._count = 0
        with disk_errors(self.path):
            self.path.mkdir()

    def write(self, labels: NDArray[np.uint8]) -> None:
        """Write the next frame: uint8 ids [H, W]."""
        image = Image.fromarray(labels).convert("L")
        image.putpalette(DAVIS_PALETTE.tobytes())
        path = self.path / f"{self._count:05d}.png"
        with disk_errors(path):
            image.save(path)
        self._count += 1

    def close(self) -> None:
        """Every mask is on disk already."""

    def abort(self) -> None:
        """Nothing is held open."""
