"""The fp32 ONNX file: torch's dynamo exporter, checked, with sizes left open and nothing of this machine in the file.

Every encoder target starts from it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import nn
from torch.export import Dim

from fgvc_deploy.encoders.base import MIN_SIDE
from fgvc_deploy.errors import ParityError
from fgvc_export.folding import fold_batch_norm
from fgvc_export.targets import Source

# Read by ONNX Runtime and by MNN 3's converter; no newer, because the graph needs nothing newer and old runtimes lag.
OPSET = 20
INPUT, OUTPUT = "frames", "features"


def fp32_file(source: Source) -> bytes:
    """`frames` float32 [N, 3, H, W] -> `features` float32 [N, C, ceil(H/stride), ceil(W/stride)].

    N, H and W are open (H, W >= 32), batch norm is folded, weights are inside the file.  Made once for all targets.
    """
    if "onnx" not in source.shared:
        source.shared["onnx"] = _fp32_file(source)
    return bytes(source.shared["onnx"])


def _fp32_file(source: Source) -> bytes:
    model = _export(fold_batch_norm(source.module))
    _strip(model)
    _describe(model, source)
    onnx.checker.check_model(model, full_check=True)
    if any(node.op_type == "BatchNormalization" for node in model.graph.node):
        raise ParityError("The exported graph still has batch norm in it; report this with your checkpoint's layers.")
    return bytes(model.SerializeToString(deterministic=True))


def _export(module: nn.Module) -> onnx.ModelProto:
    sizes = {0: Dim("N", min=1), 2: Dim("H", min=MIN_SIDE), 3: Dim("W", min=MIN_SIDE)}
    # Sizes of 1 would be taken for constants, and equal or round ones for a relation between H and W.
    example = torch.zeros(2, 3, 72, 89)
    with _quiet_exporter():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(sizes,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the two remarks torch 2.13's exporter makes on every export, and only those.

    It uses its own deprecated tree API (a FutureWarning about LeafSpec), and logs that torchvision is not installed,
    which no encoder here needs.
    """
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")

    def keep(record: logging.LogRecord) -> bool:
        return "torchvision is not installed" not in record.getMessage()

    registration.addFilter(keep)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        registration.removeFilter(keep)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for its developers: stack traces, and shapes that follow from the graph."""
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        value.doc_string = ""


def _describe(model: onnx.ModelProto, source: Source) -> None:
    model.producer_name = "fgvc-deploy"
    model.producer_version = source.metadata.get("fgvc-deploy", "")
    model.graph.name = source.settings.arch
    model.doc_string = (
        f"FGVC encoder {source.settings.arch}: normalised frames [N, 3, H, W] to features, "
        f"one every {source.settings.stride} pixels."
    )
    onnx.helper.set_model_props(model, dict(sorted(source.metadata.items())))
    # The exporter writes the formula, e.g. "(((H - 1)//2)) + 1", as the name of the dimension.
    output: Any = model.graph.output[0].type.tensor_type.shape
    output.dim[2].dim_param, output.dim[3].dim_param = "feature_height", "feature_width"
