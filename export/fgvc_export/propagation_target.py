"""Target `propagation`: the portable propagation graph with a bundle's settings as its defaults.

The graph itself is `propagation_graph.txt`; what it must agree with is `propagation_parity.py`.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper, parser

from fgvc_deploy.propagation.base import PropagationBackend
from fgvc_deploy.propagation.onnx_graph import OnnxGraphBackend
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_export.targets import Source

GRAPH = "propagation_graph.txt"
# For whoever meets the file without these pages; H, W: feature grid, C: channels, T: key frames, P: label channels.
DESCRIPTION = (
    "One propagation step of FGVC: each query pixel takes the k most similar keys in its window, over all key frames "
    "jointly, and the sum of their labels weighted by softmax(score / temperature). All sizes are open. Features are "
    "of unit length (x / max(|x|, 1e-12) per pixel). Memory: the first frame and the last frames before the query. "
    "Inputs with a default may be left out."
)
DOCS = {
    "query": "unit features of the new frame, [H, W, C]: encoder output [1, C, H, W] transposed and normalised",
    "keys": "unit features of the T key frames, [T, H, W, C]",
    "labels": "soft labels of the T key frames, [T, H, W, P]",
    "radius": "of the window, in feature pixels; circle: distance < radius, square: |dx|, |dy| <= radius",
    "square": "true for a square window, false for a circle",
    "topk": "k, keys a query takes",
    "temperature": "of the softmax",
    "active": "bool [H, W] or [1, 1]: false queries get score -inf and label 0; tiles of such are left out",
    "new_labels": "soft labels of the new frame, [H, W, P]",
    "scores": "cosine similarities of the chosen keys, best first, [H, W, k]; -inf where there are fewer than k",
    "positions": "of the chosen keys, [H, W, k]: frame * H*W + y * W + x; 0 where the score is -inf",
}


def build(source: Source) -> bytes:
    """The ONNX file with the settings of a source as its defaults."""
    return build_graph(source.propagation, source.metadata)


def build_graph(settings: PropagationSettings, metadata: dict[str, str]) -> bytes:
    """The ONNX file; its inputs and outputs are described in `DOCS` and in the file itself."""
    model = parser.parse_model(resources.files("fgvc_export").joinpath(GRAPH).read_text(encoding="utf-8"))
    _set_defaults(model, settings)
    _describe(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def run(content: bytes, settings: EncoderSettings, precision: str) -> PropagationBackend:
    """The file in ONNX Runtime."""
    return OnnxGraphBackend(content, where="the exported propagation graph")


def _set_defaults(model: ModelProto, settings: PropagationSettings) -> None:
    defaults = {
        "radius": np.array(settings.radius, np.float64),
        "square": np.array(settings.window == "square"),
        "topk": np.array([settings.topk], np.int64),
        "temperature": np.array(settings.temperature, np.float32),
    }
    for initializer in model.graph.initializer:
        if initializer.name in defaults:
            initializer.CopyFrom(numpy_helper.from_array(defaults[initializer.name], initializer.name))


def _describe(model: ModelProto, metadata: dict[str, str]) -> None:
    model.producer_name = "fgvc-deploy"
    model.producer_version = metadata.get("fgvc-deploy", "")
    model.doc_string = DESCRIPTION
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = DOCS[value.name]
