"""Target `winograd`: the ONNX encoder with Winograd's algorithm in its wide 3x3 convolutions, for ONNX Runtime.

It computes the same features with fewer multiplications and more traffic; `fgvc_deploy.encoders.race` finds out which
of the two is faster on a machine.  How the graph is rewritten is `winograd/`.
"""

from __future__ import annotations

import onnx

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import EncoderSettings
from fgvc_export.onnx_target import fp32_file
from fgvc_export.targets import Source
from fgvc_export.winograd.rewrite import rewrite


def build(source: Source) -> bytes:
    """An ONNX file with the input of target `onnx`, and the output with channels last: [N, h, w, C].

    Raises `InputError` for an encoder without a layer that would gain from it.
    """
    model = onnx.load_from_string(fp32_file(source))
    if not rewrite(model):
        raise InputError(
            f"Target winograd would change nothing in {source.settings.arch}: it has no wide 3x3 convolutions of "
            "stride 1; leave that target out."
        )
    model.doc_string += " Channels last; wide 3x3 convolutions by Winograd's algorithm, F(4x4, 3x3)."
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def run(content: bytes, settings: EncoderSettings, precision: str) -> EncoderBackend:
    """The file in ONNX Runtime."""
    return OnnxRuntimeEncoder(content, settings, where="the exported Winograd file")
