"""Frame sizes: what a user may ask for, which network size follows, and how pixels map between the two.

No pixels are touched here (see `resize.py`).  Sizes are (height, width); coordinates (x, y), integer = pixel centre.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import Compat

MIN_SIDE = 32
"""Smallest side the encoder accepts, in network pixels."""


class SizeSpec(NamedTuple):
    """A requested network size: `fixed` (height, width), `short` (short side = height = width field) or `native`."""

    kind: Literal["fixed", "short", "native"]
    height: int = 0
    width: int = 0


DEFAULT_SIZE = SizeSpec("short", 256, 256)


def parse_size(size: str | tuple[int, int] | SizeSpec | None, default: SizeSpec = DEFAULT_SIZE) -> SizeSpec:
    """Read "HxW", "short:N", "native", an (h, w) tuple, or None for the default.

    Raises InputError when the text is none of these or a side is below 32 pixels.
    """
    if size is None:
        return default
    if isinstance(size, SizeSpec):
        return size
    spec = _parse_text(size) if isinstance(size, str) else _parse_pair(size)
    if spec.kind != "native" and min(spec.height, spec.width) < MIN_SIDE:
        raise InputError(f"size {size!r} is too small: every side must be at least {MIN_SIDE} pixels.")
    return spec


def _parse_pair(size: Any) -> SizeSpec:
    try:
        height, width = size
        return SizeSpec("fixed", int(height), int(width))
    except (TypeError, ValueError):
        raise InputError(
            f"size {size!r} is not understood: give (height, width), or a text such as 'short:256'."
        ) from None


def _parse_text(text: str) -> SizeSpec:
    if text == "native":
        return SizeSpec("native")
    if found := re.fullmatch(r"(\d{1,5})x(\d{1,5})", text):
        return SizeSpec("fixed", int(found[1]), int(found[2]))
    if found := re.fullmatch(r"short:(\d{1,5})", text):
        return SizeSpec("short", int(found[1]), int(found[1]))
    raise InputError(f"size {text!r} is not understood: write HEIGHTxWIDTH (480x854), short:N (short:256) or native.")


def resolve_size(spec: SizeSpec, source_hw: tuple[int, int]) -> tuple[int, int]:
    """Network size (h, w) for frames of `source_hw`.

    `short` keeps the aspect ratio; the long side is rounded to the nearest integer, halves up, because the encoder
    takes any size and rounding to a stride would distort the frame.  Raises InputError when a side ends below 32.
    """
    height, width = source_hw
    if spec.kind == "fixed":
        return spec.height, spec.width
    hw = (height, width)
    if spec.kind == "short":
        hw = (_scaled(height, spec.height, min(hw)), _scaled(width, spec.height, min(hw)))
    if min(hw) < MIN_SIDE:
        raise InputError(
            f"frames of {height}x{width} give a network size of {hw[0]}x{hw[1]}: every side must be at least "
            f"{MIN_SIDE} pixels, so ask for a larger --size."
        )
    return hw


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """Round side * numerator / denominator half up, in integers so that no float error tips a half."""
    return (2 * side * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True, slots=True)
class PixelMap:
    """Mapping of (x, y) between source and network pixels.

    `corrected` maps pixel centres, x_net = (x + 0.5) * w_net / w_src - 0.5, which is where the resize puts them;
    `reference` scales raster coordinates, x_net = x * w_net / w_src (goldens item 1).
    """

    source_hw: tuple[int, int]
    network_hw: tuple[int, int]
    compat: Compat = "corrected"

    def to_network(self, xy: NDArray[Any]) -> NDArray[np.float64]:
        """Source (x, y) [..., 2] -> network (x, y) [..., 2], float64."""
        return self._scale(xy, self.source_hw, self.network_hw)

    def to_source(self, xy: NDArray[Any]) -> NDArray[np.float64]:
        """Network (x, y) [..., 2] -> source (x, y) [..., 2], float64."""
        return self._scale(xy, self.network_hw, self.source_hw)

    def _scale(self, xy: NDArray[Any], from_hw: tuple[int, int], to_hw: tuple[int, int]) -> NDArray[np.float64]:
        ratio = np.array([to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]])
        offset = 0.5 if self.compat == "corrected" else 0.0
        mapped: NDArray[np.float64] = (np.asarray(xy, dtype=np.float64) + offset) * ratio - offset
        return mapped
