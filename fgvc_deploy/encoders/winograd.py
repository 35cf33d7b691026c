"""The encoder backend of target `winograd`: another graph of the same encoder, also in ONNX Runtime."""

from __future__ import annotations

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import named_with_precision
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder


def create(bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> OnnxRuntimeEncoder:
    """The encoder of a bundle; errors as `OnnxRuntimeEncoder`, and `BundleError` when the bundle has no such file."""
    artefact = bundle.find(kind="encoder", target="winograd", precision=precision)
    where = f"{bundle.path}: {artefact.path!r}"
    encoder = OnnxRuntimeEncoder(bundle.read(artefact), bundle.manifest.encoder, where=where, threads=threads)
    encoder.name = "winograd"
    return named_with_precision(encoder, precision)
