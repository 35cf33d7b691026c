"""Explicit Q/DQ: symmetric int8 as TensorRT reads it, ranges from histograms, and TensorRT-RTX builds it."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from fgvc_deploy.bundle.engine_key import Profile
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.gpu.engines.builder import Plan, build_engine
from fgvc_export.parity import worst_cosine
from fgvc_export.precision.calibration import METHODS, by_entropy, by_maximum, by_percentile, magnitudes
from fgvc_export.precision.graph import weights as typed_weights
from fgvc_export.precision.half import to_half
from fgvc_export.precision.observe import values
from fgvc_export.precision.qdq import SMALLEST_SCALE, scale_for, with_qdq
from fgvc_export.precision.rounding import rounded
from toy_encoder import SETTINGS, toy_onnx

X = np.random.default_rng(5).standard_normal((1, 3, 48, 56), dtype=np.float32)
RANGES = {"conv0": 4.0, "conv1": 6.0}


def weights(model: ModelProto) -> dict[str, NDArray[Any]]:
    return dict(typed_weights(model))


def toy() -> ModelProto:
    model = onnx.load_from_string(toy_onnx())
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    for index, node in enumerate(convs):
        node.name = f"conv{index}"
    return model


def test_only_named_convolutions_are_quantised_and_zero_points_are_zero() -> None:
    model = with_qdq(toy(), {"conv1": 6.0})
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (1, 2)
    arrays = weights(model)
    assert arrays["w2_int8"].dtype == np.int8
    assert "w2" not in arrays
    assert "w1" in arrays
    for name, array in arrays.items():
        if name.endswith("_zero"):
            assert array.dtype == np.int8
            assert not array.any()


def test_a_weight_is_off_by_half_a_step_of_its_own_channel() -> None:
    exact, arrays = weights(toy())["w2"], weights(with_qdq(toy(), RANGES))
    scale = arrays["w2_scale"].reshape(-1, 1, 1, 1)
    assert scale.size == len(exact)
    assert (np.abs(arrays["w2_int8"] * scale - exact) <= scale * 0.5001).all()
    assert (np.abs(arrays["w2_int8"]).reshape(len(exact), -1).max(axis=1) >= 126).all()


@pytest.mark.parametrize("largest", [0.0, 1e-9, 0.003, 1.0, 6.0, 5e4])
def test_scales_are_exact_in_fp16_and_clip_nothing(largest: float) -> None:
    scale = scale_for(np.array([largest], np.float32))
    assert scale == scale.astype(np.float16).astype(np.float32)
    assert scale >= SMALLEST_SCALE
    assert largest <= 127 * scale <= max(largest * 1.001, 127 * SMALLEST_SCALE)


def test_activations_go_through_127_levels_and_are_clipped_beyond_their_range() -> None:
    model = with_qdq(toy(), {"conv0": 2.0})
    read = next(node.input[0] for node in model.graph.node if node.name == "conv0")
    ((_, (seen,)),) = values(model, [read], [X])
    scale = weights(model)["frames_q0_scale"]
    codes = seen / scale
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
    assert np.abs(X).max() > 3
    assert codes.max() == pytest.approx(127)
    inside = np.abs(X) < 2
    assert np.abs(seen - X)[inside].max() <= 0.51 * scale


def test_it_computes_nearly_the_same_also_in_fp16() -> None:
    exact = OnnxRuntimeEncoder(toy_onnx(), SETTINGS).encode(X).astype(np.float64)
    for model in (with_qdq(toy(), RANGES), rounded(to_half(with_qdq(toy(), RANGES)))):
        mine = OnnxRuntimeEncoder(model.SerializeToString(), SETTINGS).encode(X).astype(np.float64)
        # Two layers of 8-bit weights and activations.
        assert 0.995 < worst_cosine(mine, exact) < 1 - 1e-6


def test_a_far_outlier_is_clipped_by_percentile_and_entropy_but_not_by_maximum() -> None:
    rng = np.random.default_rng(0)
    seen = [np.abs(rng.standard_normal(200_000)).astype(np.float32), np.array([100.0], np.float32)]
    counts, top = magnitudes(seen)
    assert by_maximum(counts, top) == 100
    assert 3 < by_percentile(counts, top) < 6
    assert 2 < by_entropy(counts, top) < 20


@pytest.mark.parametrize("method", list(METHODS))
def test_zeros_of_a_relu_do_not_move_the_range(method: str) -> None:
    """Counted, they make the entropy method clip a ReLU6 to a few percent of its range: int8 without a picture."""
    seen = np.random.default_rng(1).uniform(0, 6, 50_000).astype(np.float32)
    zeros = np.zeros(500_000, np.float32)
    choose = METHODS[method]
    assert choose(*magnitudes([seen, zeros])) == choose(*magnitudes([seen])) > 5


def test_a_tensor_of_zeros_has_a_range() -> None:
    for choose in METHODS.values():
        assert np.isfinite(choose(*magnitudes([np.zeros(10, np.float32)])))


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is an optional builder")
def test_rtx_takes_it_in_fp16_and_in_fp32() -> None:
    plan = Plan("rtx", "int8", Profile(smallest=(32, 32), usual=(64, 64), largest=(128, 128)), "sm_86")
    quantised = with_qdq(toy(), RANGES)
    for model in (quantised, to_half(quantised)):
        assert len(build_engine(model.SerializeToString(), plan)) > 1000
