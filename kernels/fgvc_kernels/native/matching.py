"""Top-k keys of every query pixel, and the labels carried along them."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_kernels.native.arrays import require_array, require_between
from fgvc_kernels.native.errors import NativeArgumentError
from fgvc_kernels.native.frames import MAX_THREADS, HalfFeatures
from fgvc_kernels.native.isa import isa_index, screens
from fgvc_kernels.native.library import HalfPointers, MatchArguments, load_library

MAX_TOPK = 32
MAX_SIDE = 32_000
WINDOWS = {"circle": 0, "square": 1}
Float32Array = NDArray[np.float32]


class NativeMatches(NamedTuple):
    """Best keys of every query pixel, best first, and counts for benchmarks.

    `scores` float32 [H*W, k] (-inf: no key), `positions` int32 [H*W, k] = slot * H*W + y*W + x (0 where -inf).
    `stats` int64 [4]: (query, key) pairs multiplied, keys that passed the screen (per tile of 16 queries), pairs
    scored again in fp32, and times a tile's list of candidates had to be settled early.
    """

    scores: Float32Array
    positions: NDArray[np.int32]
    stats: NDArray[np.int64]


def _pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def _half_pointers(halves: Sequence[HalfFeatures]) -> Any:
    rows = [HalfPointers(*(a.ctypes.data for a in (h.rows, h.bias, h.error, h.norm))) for h in halves]
    return (HalfPointers * len(rows))(*rows)


def _check_halves(query_half: HalfFeatures, key_halves: Sequence[HalfFeatures], n_keys: int, pixels: int) -> None:
    if len(key_halves) != n_keys:
        raise NativeArgumentError(f"`key_halves` must have one entry per key frame: {n_keys}, not {len(key_halves)}.")
    for half in (query_half, *key_halves):
        if half.rows.shape != query_half.rows.shape or half.rows.shape[0] < pixels:
            raise NativeArgumentError("All bf16 copies must have the size of the query frame.")
        if half.centre is not query_half.centre and not np.array_equal(half.centre, query_half.centre):
            raise NativeArgumentError(
                "All bf16 copies must have the same centre: pack the keys again with the query's."
            )


def _check_frames(query: Float32Array, keys: Sequence[Float32Array], hw: tuple[int, int]) -> None:
    require_between("height", hw[0], 1, MAX_SIDE)
    require_between("width", hw[1], 1, MAX_SIDE)
    pixels = hw[0] * hw[1]
    require_array("query", query, np.float32, (pixels, None))
    channels = query.shape[1]
    if channels < 8 or channels % 8:
        raise NativeArgumentError(f"Features must have a multiple of 8 channels, not {channels}.")
    if not keys:
        raise NativeArgumentError("`keys` must hold at least one key frame.")
    for slot, key in enumerate(keys):
        require_array(f"keys[{slot}]", key, np.float32, (pixels, channels))
    if pixels * len(keys) >= 2**31:
        raise NativeArgumentError(f"{len(keys)} key frames of {pixels} pixels are too many for int32 positions.")


def _check_settings(window: str, radius: float, topk: int, threads: int) -> None:
    require_between("topk", topk, 1, MAX_TOPK)
    require_between("threads", threads, 1, MAX_THREADS)
    if window not in WINDOWS or not radius > 0:
        raise NativeArgumentError(f"The window must be a circle or square of positive radius, not {window} {radius}.")


def match(
    query: Float32Array,
    keys: Sequence[Float32Array],
    hw: tuple[int, int],
    *,
    radius: float,
    window: Literal["circle", "square"] = "circle",
    topk: int = 10,
    halves: tuple[HalfFeatures, Sequence[HalfFeatures]] | None = None,
    active: NDArray[np.bool_] | None = None,
    threads: int = 1,
    isa: str | None = None,
) -> NativeMatches:
    """Top-k over all key frames jointly (goldens items 8, 10-12), newest frame last for speed.

    `query` and each of `keys`: unit features float32 [H*W, C], C a multiple of 8.  `circle`: distance < radius,
    `square`: |dx|, |dy| <= radius, in feature pixels (inf: every key).  With `halves` (query, keys) keys are screened
    in bf16 first: same scores, bit for bit.  `active` bool [H*W]: other queries get -inf and 0.  A score that is not
    finite is never chosen.  Scores do not depend on `threads`.  Raises NativeArgumentError, NativeUnavailableError.
    """
    _check_frames(query, keys, hw)
    _check_settings(window, radius, topk, threads)
    pixels = hw[0] * hw[1]
    if active is not None:
        require_array("active", active, np.bool_, (pixels,))
    if halves is not None:
        _check_halves(halves[0], halves[1], len(keys), pixels)
        if not screens(isa):
            raise NativeArgumentError("This instruction set has no bf16 engine: leave `halves` out.")
    found = NativeMatches(
        np.empty((pixels, topk), np.float32), np.empty((pixels, topk), np.int32), np.zeros(4, np.int64)
    )
    arguments = MatchArguments(
        isa=isa_index(isa),
        threads=threads,
        height=hw[0],
        width=hw[1],
        channels=query.shape[1],
        window=WINDOWS[window],
        radius=min(radius, 2.0 * MAX_SIDE),
        topk=topk,
        n_keys=len(keys),
        screened=halves is not None,
        query=query.ctypes.data,
        keys=_pointers(keys),
        query_half=_half_pointers([halves[0]]) if halves else None,
        key_halves=_half_pointers(halves[1]) if halves else None,
        active=active.ctypes.data if active is not None else None,
        scores=found.scores.ctypes.data,
        positions=found.positions.ctypes.data,
        stats=found.stats.ctypes.data,
    )
    status = load_library().fgvc_match(ctypes.byref(arguments))
    if status:
        raise NativeArgumentError(f"The native library refused the call ({status}).")
    return found


def propagate(
    scores: Float32Array,
    positions: NDArray[np.int32],
    labels: Sequence[Float32Array],
    *,
    temperature: float,
    out: Float32Array | None = None,
    threads: int = 1,
    isa: str | None = None,
) -> Float32Array:
    """New labels [H*W, P]: softmax(scores / temperature) over the k keys, times their labels (goldens items 10, 11).

    `scores`, `positions` as in NativeMatches; `labels`: one pixel-major float32 [H*W, P] per slot.  A pixel without
    keys gets zeros.  They are written into `out`, which must be none of `labels`, or into a new array.  Raises
    NativeArgumentError.
    """
    require_array("scores", scores, np.float32, (None, None))
    pixels, topk = scores.shape
    require_array("positions", positions, np.int32, (pixels, topk))
    require_between("topk", topk, 1, MAX_TOPK)
    require_between("threads", threads, 1, MAX_THREADS)
    if not labels:
        raise NativeArgumentError("`labels` must hold one array per key frame.")
    require_array("labels[0]", labels[0], np.float32, (pixels, None))
    for slot, array in enumerate(labels):
        require_array(f"labels[{slot}]", array, np.float32, labels[0].shape)
    if not (temperature > 0 and math.isfinite(temperature)):
        raise NativeArgumentError(f"`temperature` must be positive, not {temperature}.")
    maps = labels[0].shape[1]
    out = np.empty((pixels, maps), np.float32) if out is None else out
    require_array("out", out, np.float32, (pixels, maps))
    if not out.size:
        return out
    data = (scores.ctypes.data, positions.ctypes.data, _pointers(labels), out.ctypes.data)
    status = load_library().fgvc_propagate(
        isa_index(isa), threads, pixels, topk, len(labels), maps, temperature, *data
    )
    if status:
        raise NativeArgumentError("`positions` point outside the key frames.")
    return out
