"""The native CPU backend: C++ kernels of `fgvc_kernels.native` behind the backend protocol.

It decides what to keep beside a frame's features and around which centre; the kernels themselves are next door.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import BackendError
from fgvc_deploy.propagation.base import FeatureMap, Float32Array, Matches, Window
from fgvc_deploy.propagation.features import require_finite
from fgvc_deploy.propagation.threads import worker_count
from fgvc_kernels import native

Precision = Literal["auto", "bf16", "fp32"]
# The kernels want a multiple of this many channels; zeros beyond them change no score.
CHANNEL_STEP = 8
# Sampled rows for the mean feature: enough for a centre, whose only effect is speed.
CENTRE_ROWS = 1024


@dataclass(slots=True)
class PackedFrame:
    """What the backend keeps beside a frame: its bf16 copy, replaced when the centre moves."""

    half: native.HalfFeatures


def mean_feature(unit: Float32Array) -> Float32Array:
    """Mean of some rows of unit features [H*W, C], rows that are not finite left out; zeros if none is."""
    rows = unit[:: max(1, len(unit) // CENTRE_ROWS)]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return np.zeros(unit.shape[1], np.float32)
    return np.ascontiguousarray(rows.mean(axis=0, dtype=np.float64), np.float32)


class NativeBackend:
    """Exact top-k on the CPU; scores equal a float32 dot product up to summation order.

    `precision`: `bf16` screens keys in bf16 and scores the survivors in fp32 (same scores as `fp32`, bit for bit;
    docs/screening.md), `auto` does so where it is faster.  `threads`: threads per call, None for all cores.
    `isa`: an instruction set of `native.isas()`; None = `FGVC_NATIVE_ISA` or the fastest.  Raises BackendError when
    it cannot run here.
    """

    name = "native"

    def __init__(self, *, threads: int | None = None, precision: Precision = "auto", isa: str | None = None) -> None:
        try:
            self.isa = _usable(isa)
            can_screen, pays = native.screens(self.isa), native.screening_pays(self.isa)
        except native.NativeUnavailableError as error:
            raise BackendError(str(error)) from error
        if precision == "bf16" and not can_screen:
            raise BackendError(f"The native backend has no bf16 engine for {self.isa}: use precision fp32 or auto.")
        self.screened = precision == "bf16" or (precision == "auto" and pays)
        self.threads = worker_count(threads)
        self._centre: Float32Array | None = None

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C], C padded to a multiple of 8, and pack the bf16 copy when screening.

        Raises InputError for features that are not finite.
        """
        height, width, channels = features.shape
        raw = np.ascontiguousarray(features, np.float32).reshape(height * width, channels)
        if channels % CHANNEL_STEP:
            raw = np.pad(raw, ((0, 0), (0, -channels % CHANNEL_STEP)))
        unit = native.normalise(raw, threads=self.threads, isa=self.isa)
        if not self.screened:
            # A pixel that is not finite makes the sum NaN; the others are of length 1.
            require_finite(bool(np.isfinite(np.vdot(unit, unit))))
            return FeatureMap((height, width), unit)
        half = self._halve(unit, self._choose_centre(unit))
        # Packing marks such a pixel by a bias of -inf, and the rows of padding too.
        require_finite(bool(np.isfinite(half.bias[: len(unit)]).all()))
        return FeatureMap((height, width), unit, PackedFrame(half))

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: NDArray[np.bool_] | None = None,
    ) -> Matches:
        """Top-k over all key frames jointly; put the newest last.  `active` bool [H*W]: queries to compute."""
        halves = self._halves(query, keys) if self.screened else None
        found = native.match(
            query.unit,
            [key.unit for key in keys],
            query.hw,
            radius=window.radius,
            window=window.shape,
            topk=topk,
            halves=halves,
            active=active,
            threads=self.threads,
            isa=self.isa,
        )
        return Matches(found.scores, found.positions)

    def carry(
        self, matches: Matches, labels: Sequence[Float32Array], temperature: float, out: Float32Array | None = None
    ) -> Float32Array:
        """Soft labels [H*W, P] of the query from its matches; see `weights.carry`."""
        return native.propagate(
            *matches, labels, temperature=temperature, out=out, threads=self.threads, isa=self.isa
        )

    def _halve(self, unit: Float32Array, centre: Float32Array) -> native.HalfFeatures:
        return native.halve(unit, centre, threads=self.threads, isa=self.isa)

    def _choose_centre(self, unit: Float32Array) -> Float32Array:
        """The centre in use, or the mean of this frame when that would shrink the screening margin noticeably."""
        mean = mean_feature(unit)
        if self._centre is not None and len(self._centre) == len(mean):
            drift = float(np.sum((mean - self._centre) ** 2))
            if drift <= 0.5 * max(0.0, 1.0 - float(mean @ mean)):
                return self._centre
        self._centre = mean
        return mean

    def _halves(
        self, query: FeatureMap, keys: Sequence[FeatureMap]
    ) -> tuple[native.HalfFeatures, list[native.HalfFeatures]]:
        own = _half_of(query)
        centre = own.centre if own is not None else self._choose_centre(query.unit)
        return self._half_around(query, centre), [self._half_around(key, centre) for key in keys]

    def _half_around(self, frame: FeatureMap, centre: Float32Array) -> native.HalfFeatures:
        """The frame's bf16 copy around `centre`; made again when it has another (a cut in the video)."""
        half = _half_of(frame)
        if half is not None and half.centre is centre:
            return half
        half = self._halve(frame.unit, centre)
        if isinstance(frame.packed, PackedFrame):
            frame.packed.half = half
        return half


def _half_of(frame: FeatureMap) -> native.HalfFeatures | None:
    return frame.packed.half if isinstance(frame.packed, PackedFrame) else None


def _usable(isa: str | None) -> str:
    if isa is None:
        return native.isa()
    if isa not in native.isas():
        raise BackendError(f"The native backend cannot use {isa} here; it has {', '.join(native.isas())}.")
    return isa
