"""Target `onnx`: the encoder as an ONNX file, in fp32, in fp16 for GPUs, and in int8 for CPUs."""

from __future__ import annotations

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.settings import EncoderSettings
from fgvc_export.lowered import gpu_file
from fgvc_export.onnx_fp32 import fp32_file
from fgvc_export.precision.emulated import emulated
from fgvc_export.quantised import quantise
from fgvc_export.targets import Source

__all__ = ["build", "fp32_file", "run"]

WHERE = "the exported ONNX file"


def build(source: Source) -> bytes:
    """An ONNX file: `frames` float32 [N, 3, H, W] -> `features` float32 [N, C, ceil(H/stride), ceil(W/stride)].

    N, H and W are open (H, W >= 32).  fp16 computes in half precision with islands of fp32 (`precision/recipe.py`).
    """
    if source.precision == "int8":
        return quantise(fp32_file(source), source.frames())
    return gpu_file(source)


def run(content: bytes, settings: EncoderSettings, precision: str) -> EncoderBackend:
    """The file in ONNX Runtime; fp16 rounded as on a GPU, which ONNX Runtime's CPU provider does not do."""
    if precision == "fp16":
        return emulated(content, settings, WHERE)
    return OnnxRuntimeEncoder(content, settings, where=WHERE)
