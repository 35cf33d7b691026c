"""The portable backend: the bundle's propagation graph (kind `propagation`) in ONNX Runtime.

The arithmetic is in the graph, which `fgvc_export.propagation_graph` describes; this module only feeds it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BundleError
from fgvc_deploy.onnx_session import open_session
from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array, Matches, Window
from fgvc_deploy.propagation.features import active_map, check_request, unit_features
from fgvc_deploy.propagation.threads import worker_count

INPUTS = {"query", "keys", "labels"}
# Inputs with a default, the bundle's own settings.
SETTINGS = {"radius", "square", "topk", "temperature", "active"}


def obstacle(bundle: Bundle | None) -> str | None:
    """Why the graph of this bundle cannot run here and what mends that, or None."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed; pip install 'fgvc-deploy[cpu]'"
    if bundle is None:
        return "its graph lies in a bundle, and none is given; name one that was exported with --target propagation"
    if not any(artefact.kind == "propagation" for artefact in bundle.manifest.artefacts):
        return "the bundle has no propagation graph; export the checkpoint with --target onnx --target propagation"
    return None


def create(bundle: Bundle, threads: int | None = None) -> OnnxGraphBackend:
    """The backend of a bundle; errors as `OnnxGraphBackend`, and `BundleError` when it has no graph."""
    artefact = bundle.find(kind="propagation", target="onnx")
    return OnnxGraphBackend(bundle.read(artefact), where=f"{bundle.path}: {artefact.path!r}", threads=threads)


class OnnxGraphBackend:
    """Top-k keys by a graph of standard operators, for any map, window, k and number of key frames.

    `model` is the content of the file, `where` names it in errors, `threads` bounds the threads inside an operator,
    None for the cores this process may use.
    Raises `BackendError` when ONNX Runtime is missing or cannot load the graph, `BundleError` when it is another.
    """

    name = "onnx"

    def __init__(self, model: bytes, *, where: str = "the propagation graph", threads: int | None = None) -> None:
        self._session = open_session(model, where, worker_count(threads))
        inputs = {entry.name for entry in self._session.get_inputs()}
        settings = {entry.name for entry in self._session.get_overridable_initializers()}
        if inputs != INPUTS or settings != SETTINGS:
            raise BundleError(f"{where} is not the propagation graph of this version; export the checkpoint again.")
        self._keys = np.zeros((0, 0, 0, 0), np.float32)

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C]; nothing is packed beside them."""
        return unit_features(features)

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """Top-k over all key frames jointly; queries that are not `active` get -inf and 0, and their tiles no work.

        Raises InputError when the arguments do not fit together.
        """
        check_request(query, keys, window, topk)
        wanted = active_map(active, query.hw)
        feed: dict[str, NDArray[Any]] = {
            "query": query.unit.reshape(*query.hw, -1),
            "keys": self._stack(keys),
            # No labels: sums over matches are the business of `weights.py`, for every backend alike.
            "labels": np.zeros((len(keys), *query.hw, 0), np.float32),
            "radius": np.array(window.radius, np.float64),
            "square": np.array(window.shape == "square"),
            "topk": np.array([topk], np.int64),
            "active": wanted,
        }
        scores, positions = self._run(["scores", "positions"], feed)
        return Matches(scores.reshape(-1, topk), positions.reshape(-1, topk))

    def _run(self, outputs: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self._session.run(outputs, feed)
        return found

    def _stack(self, keys: Sequence[FeatureMap]) -> Float32Array:
        """Features [T, H, W, C] of the key frames, in memory that is used again by the next frame."""
        shape = (len(keys), *keys[0].hw, keys[0].unit.shape[1])
        if len(keys) == 1:
            return keys[0].unit.reshape(shape)
        if self._keys.shape != shape:
            self._keys = np.empty(shape, np.float32)
        for frame, key in zip(self._keys, keys, strict=True):
            np.copyto(frame, key.unit.reshape(frame.shape))
        return self._keys
