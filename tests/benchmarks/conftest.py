"""A bundle small enough to time in a test: one strided convolution that keeps neighbourhoods apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fgvc_deploy.bundle import BundleDraft, ParityNotRun, Payload, Provenance, write_bundle
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings

CHANNELS, STRIDE = 24, 4


def toy_encoder() -> bytes:
    """Conv 9x9 of stride 4, then ReLU, as an ONNX file of dynamic N, H, W."""
    weight = np.random.default_rng(0).standard_normal((CHANNELS, 3, 9, 9)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["frames", "w"], ["raw"], strides=[STRIDE, STRIDE], pads=[4, 4, 4, 4]),
        helper.make_node("Relu", ["raw"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", CHANNELS, "h", "w"])],
        [numpy_helper.from_array(weight, "w")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    payload = Payload(
        "encoder", "onnx", "encoder.onnx", toy_encoder(), "fp32", (ParityNotRun(figure="t", not_run="toy"),)
    )
    draft = BundleDraft(
        encoder=EncoderSettings(arch="toy", stride=STRIDE, channels=CHANNELS),
        preprocess=PreprocessSettings(),
        propagation=PropagationSettings(radius=4.0, memory=2),
        default_size="native",
        provenance=Provenance(weights="random numbers"),
        payloads=(payload,),
    )
    return write_bundle(draft, tmp_path_factory.mktemp("toy") / "bundle").path
