"""The exported propagation graph for tests, built once for each set of settings."""

from __future__ import annotations

from functools import cache

from fgvc_deploy.propagation.onnx_graph import OnnxGraphBackend
from fgvc_deploy.settings import PropagationSettings
from fgvc_export.propagation_target import build_graph


@cache
def graph(settings: PropagationSettings | None = None) -> bytes:
    """The ONNX file; None: the default settings."""
    return build_graph(settings or PropagationSettings(), {})


def graph_backend(threads: int = 2) -> OnnxGraphBackend:
    """A backend on the default graph."""
    return OnnxGraphBackend(graph(), threads=threads)
