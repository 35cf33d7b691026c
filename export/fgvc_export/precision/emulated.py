"""A file in mixed precision as an encoder backend that rounds as a GPU does."""

from __future__ import annotations

import onnx

from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.settings import EncoderSettings
from fgvc_export.precision.rounding import rounded


def emulated(content: bytes, settings: EncoderSettings, where: str) -> OnnxRuntimeEncoder:
    """The encoder; raises as `OnnxRuntimeEncoder` does, also when ONNX Runtime does not take the file as it is."""
    OnnxRuntimeEncoder(content, settings, where=where)
    model = rounded(onnx.load_from_string(content))
    return OnnxRuntimeEncoder(model.SerializeToString(), settings, where=where)
