"""Frames and masks on disk, read one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fgvc_deploy.errors import InputError

VOID = 255
"""Value of mask pixels that no object owns and no score counts, except in masks of 0 and 255 alone."""


class Frames(Protocol):
    """A clip: `len`, and frame i as uint8 RGB [H, W, 3].  An array [T, H, W, 3] is one too."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class FrameFiles:
    """A clip whose frames are image files, read when asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return read_rgb(self.paths[index])


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image as uint8 RGB [H, W, 3].  Raises InputError if it is missing or damaged."""
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"))


def read_object_ids(path: Path) -> NDArray[np.uint8]:
    """Object ids of a mask image, uint8 [H, W], 0 = background.

    A grey mask of 0 and 255 alone (DAVIS 2016, some with alpha) has the one object 1.  Else values or palette indices
    are ids, and 255 is void (DAVIS 2017), returned as background.
    """
    values, palette = _read_mask(path)
    if not palette and np.isin(values, (0, VOID)).all():
        return np.asarray(values == VOID, np.uint8)
    return np.asarray(values * (values != VOID), np.uint8)


def read_foreground(path: Path) -> NDArray[np.bool_]:
    """Whether each pixel of a mask image belongs to any object, bool [H, W]."""
    return read_object_ids(path).astype(bool)


def list_files(folder: Path, suffixes: Iterable[str], what: str) -> tuple[Path, ...]:
    """Files of a folder with one of `suffixes`, by name.  Raises InputError if there is none."""
    wanted = tuple(suffixes)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} with {what}: check --root against the layout in the docs.")
    found = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in wanted))
    if not found:
        raise InputError(
            f"{folder} holds no {what} ({', '.join(wanted)}): check --root against the layout in the docs."
        )
    return found


def _read_mask(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """Palette indices and True, or grey values and False."""
    with _opened(path) as image:
        palette = image.mode == "P"
        return np.asarray(image if palette else image.convert("L")), palette


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise InputError(f"there is no image {path}: check --root against the layout in the docs.") from None
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"the image {path} cannot be read ({error}): get it again from its source.") from error
