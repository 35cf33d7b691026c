"""Draws tracked points on frames: trails, dots where visible, rings where not.  Masks: `masks.py`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.overlay.colours import colour_of_late_point, rainbow
from fgvc_deploy.overlay.marks import Colour
from fgvc_deploy.overlay.tiles import Line, TiledPicture

Frame = NDArray[np.uint8]
# Start and end (x, y), age in 0 (oldest) .. 1 (now), visible at both ends.
Segment = tuple[tuple[float, float], tuple[float, float], float, bool]

_HIDDEN_TRAIL = 0.35


class PointOverlay:
    """Draws point after point, frame after frame, in constant memory.

    `initial_xy` [N, 2] gives points 0..N-1 rainbow colours by initial y, then x; other ids may turn up at any time
    and get colours of their own.  `trail` is how many past frames a point's trail reaches back; 0 draws none.

    A point that is visible is a filled dot, one that is not is a ring.  Trails fade with age, are fainter where the
    point was not visible and are interrupted where it had no position.  Sizes follow the frame's.  Everything is
    antialiased; pixels without a mark keep their exact value.
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
            canvas.trail(self._segments(point), self._colour(point))
        marks = [(x, y, seen, self._colour(point)) for point, (x, y, seen) in now.items()]
        # Hidden points first: they must not cover visible ones.
        return canvas.finish(sorted(marks, key=lambda mark: mark[2]))

    def _colour(self, point: int) -> Colour:
        return self._colours.get(point) or colour_of_late_point(point)

    def _segments(self, point: int) -> Iterator[Segment]:
        """Pieces of a trail, oldest first."""
        frames = len(self._past)
        for step in range(1, frames):
            before, after = self._past[step - 1].get(point), self._past[step].get(point)
            if before and after:
                yield before[:2], after[:2], step / (frames - 1), before[2] and after[2]


class _Canvas:
    """Trails, and marks over them, in sizes that suit the frame and the number of points."""

    def __init__(self, frame: Frame, points: int) -> None:
        height, width = frame.shape[:2]
        # At 3 (and an odd width) a line can be centred on a pixel; large frames get the cheaper 2, off by 0.25 px.
        self._scale = 3 if height * width <= 500_000 else 2
        crowded = 0.28 * math.sqrt(height * width / max(1, points))
        self._radius = max(1.6, min(0.0085 * min(height, width), crowded))
        self._picture = TiledPicture(frame, self._scale, self._radius)

    def trail(self, segments: Iterable[Segment], colour: Colour) -> None:
        """A trail: thinner and paler with age, fainter where the point was hidden."""
        lines: list[Line] = []
        before: tuple[float, float] | None = None
        here = there = (0, 0)
        for start, end, age, seen in segments:
            here = there if start == before else self._place(*start)
            before, there = end, self._place(*end)
            if here != there:
                alpha = 230 * age * (1.0 if seen else _HIDDEN_TRAIL)
                width = 2 * int(self._radius * self._scale * (0.35 + 0.55 * age) / 2) + 1
                lines.append(((*here, *there), width, (*colour, round(alpha))))
        self._picture.lines(lines)

    def _place(self, x: float, y: float) -> tuple[int, int]:
        return round((x + 0.5) * self._scale - 0.5), round((y + 0.5) * self._scale - 0.5)

    def finish(self, marks: list[tuple[float, float, bool, Colour]]) -> Frame:
        """The frame with trails, and marks (x, y, visible, colour) over them."""
        for x, y, seen, colour in marks:
            self._picture.mark(x, y, colour, filled=seen)
        return self._picture.painted()
