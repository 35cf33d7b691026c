"""A clip stored as one image file per frame: a folder, or the files that a glob pattern matches."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video.base import Frame, FrameSource

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")


NameKey = tuple[tuple[int, int | str], ...]


def natural_key(path: Path) -> tuple[NameKey, ...]:
    """Sort key that puts `frame_2` before `frame_10`, folder by folder; upper and lower case sort together."""
    return tuple(_name_key(part) for part in path.parts)


def _name_key(name: str) -> NameKey:
    parts = re.split(r"(\d+)", name.casefold())
    # (0, number) sorts before (1, text) wherever two names differ in kind, so numbers and text are never compared.
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def is_image(path: Path) -> bool:
    """Whether the file name ends like an image's.  GIF is read as a video."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


class ImagesSource(FrameSource):
    """Frames of image files in natural order of their paths; one file is open at a time.

    Grey, palette, CMYK and 1-bit images become RGB.  Transparent pixels are blended over black.  16-bit images are
    scaled by 255 / 65535.  EXIF orientation is applied.  Of a multi-page file the first page counts.
    """

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self._paths = sorted(paths, key=natural_key)
        self.frame_count = self.frame_estimate = len(paths)
        try:
            self.hw = _read_rgb(self._paths[0]).shape[:2]
        except _Unreadable as error:
            raise InputError(f"{error} Remove or replace the file.") from error

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            yield self._frame(index, path)

    def _frame(self, index: int, path: Path) -> Frame:
        try:
            rgb = _read_rgb(path)
        except _Unreadable as error:
            raise SourceFault(f"{error} The {index} frames before it were read; replace the file.", index) from error
        if rgb.shape[:2] != self.hw:
            raise SourceFault(size_change(self.name, index, rgb.shape[:2], self.hw), index)
        return rgb

    def close(self) -> None:
        """Nothing stays open between frames."""


def size_change(name: str, index: int, found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """The sentence for a clip whose frames do not all have one size.  Sizes are (height, width)."""
    return (
        f"{name}: frame {index} is {found[1]}x{found[0]} but frame 0 is {expected[1]}x{expected[0]}; "
        "convert the clip to one size, or track the parts one by one."
    )


class _Unreadable(Exception):
    """An image file cannot be decoded; the text is a full sentence."""


def _read_rgb(path: Path) -> Frame:
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            return to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise _Unreadable(f"{path}: the image is gone.") from error
    except PermissionError as error:
        raise _Unreadable(f"{path}: no permission to read the image.") from error
    # Pillow's decoders raise many kinds for damaged files, SyntaxError and struct.error among them.
    except Exception as error:
        raise _Unreadable(f"{path}: not a readable image ({_reason(error)}).") from error


def _reason(error: Exception) -> str:
    text = str(error).split(" '/")[0].rstrip(".")
    return text or type(error).__name__


def to_rgb(image: Image.Image) -> Frame:
    """Pixels of a Pillow image of any mode as uint8 RGB [H, W, 3]; ValueError for floating-point pixels."""
    if image.mode == "F":
        raise ValueError("it holds floating-point pixels; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return _grey16_to_rgb(np.asarray(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _grey16_to_rgb(grey: NDArray[np.generic]) -> Frame:
    values = grey.astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("it holds 32-bit integers; save it with 8 or 16 bits")
    scaled = ((values * 255 + 32767) // 65535).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)
