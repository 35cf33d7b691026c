"""Images and PFM files of training sets.  Errors are DataError: which file, what is wrong, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fgvc_training.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_PFM_HEADER = re.compile(rb"(P[Ff])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)[\r\n]")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image as uint8 RGB [H, W, 3]."""
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"))


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Object ids (palette indices) or grey values of a mask image, uint8 [H, W]."""
    with _opened(path) as image:
        return np.asarray(image if image.mode == "P" else image.convert("L"))


def read_pfm(path: Path) -> NDArray[np.float32]:
    """A PFM file, float32 [H, W, 3] or [H, W], first row on top (the format stores the last one first)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}: check the data set's root folder") from None
    header = _PFM_HEADER.match(data)
    if header is None:
        raise DataError(f"{path} is no PFM file: get it again from its source")
    channels = 3 if header[1] == b"PF" else 1
    width, height = int(header[2]), int(header[3])
    # A negative scale means little-endian.
    dtype = "<f4" if float(header[4]) < 0 else ">f4"
    if len(data) - header.end() != width * height * channels * 4:
        raise DataError(f"{path} is damaged: its size does not fit {width} x {height} pixels; get it again")
    values = np.frombuffer(data, dtype, offset=header.end()).reshape(height, width, channels)[::-1]
    return np.ascontiguousarray(values if channels == 3 else values[..., 0], np.float32)


def images_in(folder: Path) -> tuple[Path, ...]:
    """Image files of a folder by name; empty if the folder is missing."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"there is no image {path}: check the data set's root folder") from None
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"the image {path} cannot be read ({error}): get it again from its source") from error
