"""Reading the mask of the first frame.  Writing masks: `mask_writer.py`."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvc_deploy.errors import InputError
from fgvc_deploy.results.palette import DAVIS_PALETTE

_MAX_OBJECTS = 255
_LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000")


def read_mask(path: str | Path, hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read object ids, uint8 [H, W], 0 = background.  `hw` is the frame's (height, width); None skips that check.

    Palette and grey images hold the ids themselves (DAVIS palette PNG; 0 and 255 in grey is one object, 255; 1-bit
    images likewise).  Transparency is ignored.  A coloured image of few colours has one object per colour: colours of
    the DAVIS palette keep their id when all are in it, otherwise they are numbered from 1 by (red, green, blue), and
    black is background.

    Raises InputError for a file that is not an image, lossy compression (it blurs ids), more than 255 objects, a mask
    without any object, and a size other than the frame's.
    """
    path = Path(path)
    labels = _labels(path, _pixels(path))
    if hw is not None and labels.shape != hw:
        raise InputError(
            f"{path} is {labels.shape[1]}x{labels.shape[0]} but the frames are {hw[1]}x{hw[0]}; draw the mask on the "
            "first frame at its own size."
        )
    if not labels.any():
        raise InputError(f"{path} is empty: no pixel belongs to an object; mark objects with values from 1 to 255.")
    return labels


def _pixels(path: Path) -> NDArray[np.generic]:
    """Pixel values of the file: [H, W] ids or [H, W, 3] colours."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if image.format in _LOSSY_FORMATS:
                raise InputError(f"{path} is a {image.format}, whose compression blurs object ids; save it as PNG.")
            if image.mode == "1":
                return np.asarray(image.convert("L"))
            if image.mode == "P" or image.mode.startswith(("L", "I")):
                # LA: the first band is the grey one.
                return np.asarray(image.getchannel(0) if image.mode == "LA" else image)
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}; check the path of the mask.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; give the mask of the first frame, a PNG file.") from error
    # Pillow's decoders raise many kinds for damaged files.
    except Exception as error:
        raise InputError(f"{path} is not a readable image; give a palette or grey PNG.") from error


def _labels(path: Path, pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    if pixels.ndim == 3:
        return _labels_of_colours(path, pixels.astype(np.uint32))
    if pixels.min() < 0 or pixels.max() > _MAX_OBJECTS:
        raise InputError(
            f"{path} has object ids up to {pixels.max()}; at most {_MAX_OBJECTS} objects can be tracked."
        )
    return pixels.astype(np.uint8)


def _labels_of_colours(path: Path, rgb: NDArray[np.uint32]) -> NDArray[np.uint8]:
    codes = _codes(rgb)
    colours, inverse = np.unique(codes, return_inverse=True)
    known = {int(code): index for index, code in enumerate(_codes(DAVIS_PALETTE.astype(np.uint32)))}
    if all(int(colour) in known for colour in colours):
        ids = np.array([known[int(colour)] for colour in colours], np.uint8)
    else:
        if np.count_nonzero(colours) > _MAX_OBJECTS:
            raise InputError(
                f"{path} has {len(colours)} colours, like a photograph; give a palette or grey PNG with at most "
                f"{_MAX_OBJECTS} objects."
            )
        ids = (np.arange(len(colours)) + (colours[0] != 0)).astype(np.uint8)
    return ids[inverse].reshape(codes.shape)


def _codes(rgb: NDArray[np.uint32]) -> NDArray[np.uint32]:
    codes: NDArray[np.uint32] = rgb @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return codes
