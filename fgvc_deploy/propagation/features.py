"""Normalising features and checking a request, shared by the backends.  No matching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array, Window

EPS = np.float32(1e-12)


def unit_features(features: Float32Array) -> FeatureMap:
    """Features [H, W, C] of any memory order, each pixel divided by max(its L2 norm, 1e-12) (goldens item 10).

    An all-zero pixel stays zero, so its cosine with everything is 0.  Raises InputError for NaN, infinity or values
    whose squares overflow float32.
    """
    if features.ndim != 3 or 0 in features.shape:
        raise InputError(f"features have shape {features.shape}: give a non-empty [H, W, C] array")
    height, width, channels = features.shape
    rows = np.ascontiguousarray(features, dtype=np.float32).reshape(-1, channels)
    norm = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    require_finite(bool(np.isfinite(norm).all()))
    # ascontiguousarray may have returned the caller's own array, so this must not happen in place.
    return FeatureMap((height, width), rows / np.maximum(norm, EPS)[:, None])


def require_finite(finite: bool) -> None:
    """Raise the InputError that every backend has for a frame with NaN or infinity among its features."""
    if not finite:
        raise InputError("features of a frame are not finite: the encoder or its input is broken")


def check_request(query: FeatureMap, keys: Sequence[FeatureMap], window: Window, topk: int) -> None:
    """Raise InputError unless query, key frames, window and k fit together."""
    shape = (query.hw[0] * query.hw[1], query.unit.shape[1])
    if not keys:
        raise InputError("no key frames were given: a frame is matched to at least one earlier frame")
    for key in keys:
        if key.hw != query.hw or key.unit.shape != shape:
            raise InputError(f"a key frame is {key.hw} x {key.unit.shape[1]}, the query {query.hw} x {shape[1]}")
    if window.shape not in ("circle", "square"):
        raise InputError(f"window shape {window.shape!r} is unknown: use 'circle' or 'square'")
    if not window.radius > 0:
        raise InputError(f"window radius {window.radius} leaves no keys: it must be above 0")
    if topk < 1:
        raise InputError(f"top-{topk} is empty: k must be at least 1")
    if len(keys) * shape[0] > np.iinfo(np.int32).max:
        raise InputError(f"{len(keys)} key frames of {shape[0]} pixels do not fit int32 positions: use fewer frames")


def active_map(active: BoolArray | None, hw: tuple[int, int]) -> BoolArray:
    """`active` [H*W] as [H, W], all True for None.  Raises InputError when it does not fit the map."""
    if active is None:
        return np.ones(hw, np.bool_)
    if active.dtype != np.bool_ or active.shape != (hw[0] * hw[1],):
        raise InputError(f"the active set is {active.dtype} {active.shape}: give bool ({hw[0] * hw[1]},)")
    return active.reshape(hw)
