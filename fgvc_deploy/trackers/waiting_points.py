"""Points that were added and wait for the frame they lie on.  Once it came they belong to a `PointGroup`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.queries import check_in_frame


class WaitingPoints:
    """Ids int64 [P] and places float32 [P, 2] (x, y) in source pixels, as they were added."""

    def __init__(self) -> None:
        self._added: list[tuple[NDArray[np.int64], Float32Array]] = []

    def __bool__(self) -> bool:
        return bool(self._added)

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids, in the order they were added."""
        return np.concatenate([np.zeros(0, np.int64), *(ids for ids, _ in self._added)])

    def add(self, ids: NDArray[np.int64], xy: Float32Array) -> None:
        """Let these wait too."""
        self._added.append((ids, xy))

    def remove(self, gone: NDArray[np.int64]) -> None:
        """Forget these ids; others among them are not looked at."""
        kept = [(ids, xy, ~np.isin(ids, gone)) for ids, xy in self._added]
        self._added = [(ids[keep], xy[keep]) for ids, xy, keep in kept if keep.any()]

    def check(self, hw: tuple[int, int]) -> None:
        """Raise InputError for points outside a frame of `hw`.

        They, and those added with them, are forgotten, so that the tracker can go on without them.
        """
        for index, (_, xy) in enumerate(self._added):
            try:
                check_in_frame(xy, hw)
            except InputError:
                del self._added[index]
                raise

    def take(self) -> tuple[NDArray[np.int64], Float32Array]:
        """Ids and places of all, none of which waits any longer; there must be some."""
        added, self._added = self._added, []
        return np.concatenate([ids for ids, _ in added]), np.concatenate([xy for _, xy in added])
