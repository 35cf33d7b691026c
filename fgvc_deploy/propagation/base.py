"""What a propagation backend is: the types every backend shares, and the protocol the trackers call.

No arithmetic lives here.  `tiled.py` is the NumPy backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int32Array = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


class Window(NamedTuple):
    """The keys a query pixel may attend to, around its own position, in feature pixels, clipped at the borders.

    `circle`: Euclidean distance strictly < radius.  `square`: |dx| <= radius and |dy| <= radius.
    """

    shape: Literal["circle", "square"]
    radius: float


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Features of one frame, L2-normalised once.

    `unit` is float32 [H*W, C], C-contiguous, rows in raster order (y * W + x).  `packed` is whatever the backend
    that prepared it wants to keep beside (for example bf16 copies); no one else looks into it.
    """

    hw: tuple[int, int]
    unit: Float32Array
    packed: Any = None


class Matches(NamedTuple):
    """Best keys of every query pixel, best first.

    `scores` float32 [H*W, k]: cosine similarity, -inf where a pixel has fewer than k keys.
    `positions` int32 [H*W, k]: slot * H*W + y*W + x, slot = place in the list of key frames; 0 where score is -inf.
    Equal scores come in no particular order.
    """

    scores: Float32Array
    positions: Int32Array


class PropagationBackend(Protocol):
    """One way to find the best keys of every pixel."""

    name: str

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C] once and pack them the way `match` likes them."""
        ...

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """Top-k over all key frames jointly (goldens item 10).

        Queries whose entry of `active` bool [H*W] is False need no keys: a backend that can save work gives them -inf
        and 0, one that cannot computes them like the others.
        """
        ...


@runtime_checkable
class CarriesLabels(Protocol):
    """What a propagation backend may offer beside `match`: its own way from matches to labels.

    It does what `weights.carry`, which the trackers use otherwise, does.
    """

    def carry(
        self, matches: Matches, labels: Sequence[Float32Array], temperature: float, out: Float32Array | None = None
    ) -> Float32Array:
        """Soft labels [H*W, P] of the query, in `out` or a new array."""
        ...
