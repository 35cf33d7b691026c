"""A small encoder as an ONNX file: two convolutions, of which one is fit for Winograd, and a norm over channels."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fgvc_deploy.settings import EncoderSettings

CHANNELS, STRIDE = 24, 4
SETTINGS = EncoderSettings(arch="toy", stride=STRIDE, channels=CHANNELS)


def toy_onnx(*, channels: int = CHANNELS, stride: int = STRIDE, keepdims: int = 1) -> bytes:
    """`frames` [N, 3, H, W] -> `features` [N, channels, ceil(H/stride), ceil(W/stride)], of unit length per pixel."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((16, 3, 3, 3)).astype(np.float32) / 5
    second = rng.standard_normal((channels, 16, 3, 3)).astype(np.float32) / 12
    nodes = [
        helper.make_node("Conv", ["frames", "w1"], ["c1"], strides=[stride, stride], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceL2", ["c2", "axis"], ["length"], keepdims=keepdims),
        *([] if keepdims else [helper.make_node("Unsqueeze", ["length", "axis"], ["wide"])]),
        helper.make_node("Div", ["c2", "length" if keepdims else "wide"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", channels, "h", "w"])],
        [
            numpy_helper.from_array(first, "w1"),
            numpy_helper.from_array(second, "w2"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())
