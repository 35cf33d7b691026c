"""Painting a frame piece by piece, only where there is something to paint.  How trails and marks look: elsewhere.

Most of a frame has no trail and no mark; at 1920x1080 converting all of it costs more than drawing.  The result is
that of painting the frame as a whole: a line is the same pixels in whatever tile they fall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fgvc_deploy.overlay.marks import Colour, MarkPainter

Frame = NDArray[np.uint8]
# Ends (x0, y0, x1, y1) and width in pixels of the layer, RGBA.
Line = tuple[tuple[int, int, int, int], int, tuple[int, int, int, int]]

# Small enough to skip most of a frame, large enough that the calls per tile do not count.
TILE = 128
# Pillow draws thick lines a little differently along the border of an image.
MARGIN = 4


@dataclass(slots=True)
class _Tile:
    """What may touch one tile: lines, and calls that paint marks."""

    lines: list[Line] = field(default_factory=list)
    marks: list[Callable[[MarkPainter], None]] = field(default_factory=list)


class TiledPicture:
    """Lines and over them marks of one `radius` on a frame, painted at the end.

    Lines are drawn on a transparent layer `scale` times as large as the frame, the later of two replacing the
    earlier; ends that reach beyond the frame are cut off.
    """

    def __init__(self, frame: Frame, scale: int, radius: float) -> None:
        self._frame, self._scale, self._radius = frame, scale, radius
        self._tiles: dict[tuple[int, int], _Tile] = {}

    def lines(self, lines: list[Line]) -> None:
        """Lines that lie near each other, as those of one trail; so that one look finds the tiles of all."""
        if not lines:
            return
        xs = [x for ends, _, _ in lines for x in (ends[0], ends[2])]
        ys = [y for ends, _, _ in lines for y in (ends[1], ends[3])]
        reach = max(width for _, width, _ in lines) // 2 + 2
        low = (min(xs) - reach) // self._scale, (min(ys) - reach) // self._scale
        high = (max(xs) + reach) // self._scale, (max(ys) + reach) // self._scale
        for tile in self._touched(low, high):
            tile.lines.extend(lines)

    def mark(self, x: float, y: float, colour: Colour, filled: bool) -> None:
        """A dot or a ring at (x, y) of the frame."""
        reach = MarkPainter.reach(self._radius) + 1
        column, row = int(x), int(y)
        for tile in self._touched((column - reach, row - reach), (column + reach, row + reach)):
            tile.marks.append(lambda painter: (painter.dot if filled else painter.ring)(x, y, colour))

    def _touched(self, low: tuple[int, int], high: tuple[int, int]) -> list[_Tile]:
        """The tiles that overlap the pixels from `low` to `high`, both (x, y)."""
        height, width = self._frame.shape[:2]
        columns = range(max(0, low[0]) // TILE, min(width - 1, high[0]) // TILE + 1)
        rows = range(max(0, low[1]) // TILE, min(height - 1, high[1]) // TILE + 1)
        return [self._tiles.setdefault((row, column), _Tile()) for row in rows for column in columns]

    def painted(self) -> Frame:
        """The frame with everything on it, a copy."""
        out = self._frame.copy()
        for (row, column), tile in self._tiles.items():
            top, left = TILE * row, TILE * column
            piece = out[top : top + TILE, left : left + TILE]
            if tile.lines:
                piece[:] = self._with_lines(piece, tile, top, left)
            if tile.marks:
                pixels = piece.astype(np.float32)
                painter = MarkPainter(pixels, self._radius, (left, top))
                for mark in tile.marks:
                    mark(painter)
                piece[:] = pixels + 0.5
        return out

    def _with_lines(self, piece: Frame, tile: _Tile, top: int, left: int) -> Frame:
        scale, (height, width) = self._scale, piece.shape[:2]
        layer = Image.new("RGBA", ((width + 2 * MARGIN) * scale, (height + 2 * MARGIN) * scale))
        draw = ImageDraw.Draw(layer)
        dx, dy = (MARGIN - left) * scale, (MARGIN - top) * scale
        for (x0, y0, x1, y1), thickness, colour in tile.lines:
            draw.line((x0 + dx, y0 + dy, x1 + dx, y1 + dy), colour, thickness)
        picture = Image.fromarray(np.ascontiguousarray(piece))
        inner = (MARGIN * scale, MARGIN * scale, (MARGIN + width) * scale, (MARGIN + height) * scale)
        small = layer.reduce(scale, inner)
        picture.paste(small, mask=small)
        return np.asarray(picture)
