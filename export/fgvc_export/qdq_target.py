"""Target `qdq`: the ONNX encoder with int8 convolutions by explicit QuantizeLinear / DequantizeLinear, for GPUs.

TensorRT 10 and 11, TensorRT-RTX and ONNX Runtime's GPU providers read it.  Target `onnx:int8` is for CPUs: its
activations have zero points and its weights 7 bits, which TensorRT refuses.
"""

from __future__ import annotations

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.settings import EncoderSettings
from fgvc_export.lowered import gpu_file
from fgvc_export.precision.emulated import emulated
from fgvc_export.targets import Source


def build(source: Source) -> bytes:
    """An ONNX file with the input and output of target `onnx`; which layers are int8 stands in its metadata."""
    return gpu_file(source)


def run(content: bytes, settings: EncoderSettings, precision: str) -> EncoderBackend:
    """The file as a GPU would compute it, emulated."""
    return emulated(content, settings, "the exported Q/DQ file")
