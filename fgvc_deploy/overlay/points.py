"""Draws tracked points on frames: trails, dots where visible, rings where not.  Masks: `masks.py`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fgvc_deploy.overlay.colours import colour_of_late_point, rainbow

Colour = tuple[int, int, int]
Frame = NDArray[np.uint8]

_HIDDEN_TRAIL = 0.35
_OUTLINE = (15, 15, 15, 170)


class PointOverlay:
    """Draws point after point, frame after frame, in constant memory.

    `initial_xy` [N, 2] gives points 0..N-1 rainbow colours by initial y, then x; other ids may turn up at any time
    and get colours of their own.  `trail` is how many past frames a point's trail reaches back; 0 draws none.

    A point that is visible is a filled dot, one that is not is a ring.  Trails fade with age, are fainter where the
    point was not visible and are interrupted where it had no position.  Sizes follow the frame's.  Drawing is
    antialiased by supersampling; pixels without a mark keep their exact value.
    """

    def __init__(self, initial_xy: NDArray[np.floating] | None = None, *, trail: int = 16) -> None:
        if trail < 0:
            raise ValueError(f"trail must not be negative: {trail}")
        self._colours: dict[int, Colour] = dict(enumerate(rainbow(initial_xy))) if initial_xy is not None else {}
        self._past: deque[dict[int, tuple[float, float, bool]]] = deque(maxlen=trail + 1)

    def draw(
        self,
        frame: Frame,
        xy: NDArray[np.floating],
        visible: NDArray[np.bool_],
        ids: Sequence[int] | NDArray[np.integer] | None = None,
    ) -> Frame:
        """A copy of `frame`, uint8 RGB [H, W, 3], with the points of this frame and their trails.

        `xy` [P, 2] in pixels of the frame, integer = pixel centre, NaN = no position; `visible` [P]; `ids` [P] tells
        which points they are, 0..P-1 when not given.
        """
        names = range(len(xy)) if ids is None else [int(point) for point in ids]
        rows = zip(names, xy.tolist(), visible.tolist(), strict=True)
        self._past.append({point: (x, y, seen) for point, (x, y), seen in rows if math.isfinite(x + y)})
        canvas = _Canvas(frame, len(xy))
        now = self._past[-1]
        for point in now:
            for start, end, age, seen in self._segments(point):
                canvas.segment(start, end, self._colour(point), age, seen)
        # Dots last: no trail crosses a dot.  Hidden points first: they must not cover visible ones.
        for point, (x, y, seen) in sorted(now.items(), key=lambda item: item[1][2]):
            canvas.mark(x, y, self._colour(point), seen)
        return canvas.flatten()

    def _colour(self, point: int) -> Colour:
        return self._colours.get(point) or colour_of_late_point(point)

    def _segments(self, point: int) -> Iterator[tuple[tuple[float, float], tuple[float, float], float, bool]]:
        """Pieces of a trail, oldest first: start, end, age in 0 (oldest) .. 1 (now), visible at both ends."""
        frames = len(self._past)
        for step in range(1, frames):
            before, after = self._past[step - 1].get(point), self._past[step].get(point)
            if before and after:
                yield before[:2], after[:2], step / (frames - 1), before[2] and after[2]


class _Canvas:
    """A frame and a transparent layer over it, `scale` times as large."""

    def __init__(self, frame: Frame, points: int) -> None:
        height, width = frame.shape[:2]
        self._frame = frame
        # Small frames are magnified when looked at, so they get the finer edges.
        self._scale = 2 if height * width > 640 * 480 else 4
        crowded = 0.28 * math.sqrt(height * width / max(1, points))
        self._radius = max(1.6, min(0.0085 * min(height, width), crowded)) * self._scale
        self._layer = Image.new("RGBA", (width * self._scale, height * self._scale))
        self._draw = ImageDraw.Draw(self._layer)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return (x + 0.5) * self._scale - 0.5, (y + 0.5) * self._scale - 0.5

    def segment(
        self, start: tuple[float, float], end: tuple[float, float], colour: Colour, age: float, seen: bool
    ) -> None:
        """A piece of a trail: thinner and paler with age, fainter where the point was hidden."""
        alpha = 230 * age * (1.0 if seen else _HIDDEN_TRAIL)
        width = max(1, round(self._radius * (0.35 + 0.55 * age)))
        self._draw.line([self._place(*start), self._place(*end)], (*colour, round(alpha)), width)

    def mark(self, x: float, y: float, colour: Colour, seen: bool) -> None:
        """A dot with a thin dark rim, or a ring as wide."""
        edge = max(1.0, 0.22 * self._radius)
        if seen:
            self._draw.ellipse(self._box(x, y, self._radius + edge), _OUTLINE)
            self._draw.ellipse(self._box(x, y, self._radius), (*colour, 255))
        else:
            width = max(1, round(0.45 * self._radius))
            self._draw.ellipse(self._box(x, y, self._radius + edge / 2), None, (*colour, 255), width)

    def _box(self, x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        x, y = self._place(x, y)
        return x - radius, y - radius, x + radius, y + radius

    def flatten(self) -> Frame:
        """The frame with everything that was drawn."""
        layer = self._layer.reduce(self._scale)
        picture = Image.fromarray(self._frame)
        picture.paste(layer, mask=layer)
        return np.array(picture)
