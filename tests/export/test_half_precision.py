"""fp16: what the file says, how it rounds, and that what overflows or vanishes is found and kept in fp32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_export.parity import worst_cosine
from fgvc_export.precision.emulated import emulated
from fgvc_export.precision.graph import float_tensors, weights
from fgvc_export.precision.half import to_half
from fgvc_export.precision.islands import islands
from fgvc_export.precision.observe import largest, values
from fgvc_export.precision.rounding import half_tensors, rounded
from toy_encoder import SETTINGS, toy_onnx

X = np.random.default_rng(3).standard_normal((1, 3, 48, 56), dtype=np.float32)
NORM = {"n_norm", "n_div"}


def toy(*, gain: float = 1.0, guard: float | None = None) -> ModelProto:
    """The toy with named nodes; `gain` on its last convolution, `guard` a lower bound of the length."""
    model = onnx.load_from_string(toy_onnx())
    for index, node in enumerate(model.graph.node):
        node.name = f"n_{node.op_type.lower()}{index if node.op_type == 'Conv' else ''}"
    *_, norm, div = model.graph.node
    norm.name, div.name = "n_norm", "n_div"
    for tensor in model.graph.initializer:
        if tensor.name == "w2":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(gain), "w2"))
    if guard is not None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(guard, np.float32), "guard"))
        bounded = helper.make_node("Max", ["length", "guard"], ["bounded"], "n_guard")
        div.input[1] = "bounded"
        last = onnx.NodeProto()
        last.CopyFrom(div)
        del model.graph.node[-1]
        model.graph.node.extend([bounded, last])
    return model


def encode(model: ModelProto) -> NDArray[np.float64]:
    return OnnxRuntimeEncoder(model.SerializeToString(), SETTINGS).encode(X).astype(np.float64)


def test_everything_but_input_and_output_is_half() -> None:
    lowered = to_half(toy())
    onnx.checker.check_model(lowered, full_check=True)
    ends = (*lowered.graph.input, *lowered.graph.output)
    assert [(v.name, v.type.tensor_type.elem_type) for v in ends] == [
        ("frames", TensorProto.FLOAT),
        ("features", TensorProto.FLOAT),
    ]
    assert {weight.dtype.name for weight in weights(lowered).values()} == {"float16", "int64"}
    assert float_tensors(lowered) == {"frames", "features"}
    assert len(lowered.SerializeToString()) < 0.6 * len(toy().SerializeToString())


@pytest.mark.parametrize("kept", [{"n_conv0"}, {"n_conv2"}, NORM, {"n_conv0", "n_relu", "n_conv2", *NORM}])
def test_islands_stay_in_fp32_and_cost_one_cast_for_a_tensor(kept: set[str]) -> None:
    lowered = to_half(toy(), frozenset(kept))
    onnx.checker.check_model(lowered, full_check=True)
    halves = half_tensors(lowered)
    made_by = {output: node.name for node in lowered.graph.node for output in node.output}
    named = {name: made_by[name] for name in made_by if made_by[name].startswith("n_")}
    assert {node for name, node in named.items() if name not in halves} == kept
    casts = [(n.input[0], n.attribute[0].i) for n in lowered.graph.node if n.op_type == "Cast"]
    assert len(set(casts)) == len(casts)


def test_with_every_node_an_island_nothing_changes() -> None:
    model = toy()
    same = to_half(model, frozenset(node.name for node in model.graph.node))
    np.testing.assert_array_equal(encode(same), encode(model))


def test_the_emulation_rounds_every_result_and_adds_in_fp32() -> None:
    lowered = to_half(toy())
    seen = {name: array for name, (array,) in values(rounded(lowered), sorted(half_tensors(lowered)), [X])}
    assert len(seen) == 6
    for array in seen.values():
        np.testing.assert_array_equal(array, array.astype(np.float16).astype(np.float32))
    # The first convolution again, from the definition: one pixel's sum of products of halves, rounded once.
    image, weight = X.astype(np.float16).astype(np.float64), weights(lowered)["w1_fp16"].astype(np.float64)
    expected = np.einsum("cij,ocij->o", image[0, :, 3:6, 7:10], weight).astype(np.float16)
    np.testing.assert_allclose(seen["c1"][0, :, 1, 2], expected, rtol=2**-11, atol=1e-6)


def test_an_overflow_shows_that_onnx_runtime_on_a_cpu_hides() -> None:
    """It computes in fp32 and drops the roundings between; this is why the gate runs an emulation."""
    lowered = to_half(toy(gain=1e5), frozenset(NORM))
    assert np.isfinite(encode(lowered)).all()
    assert not np.isfinite(encode(rounded(lowered))).all()


def test_a_norm_is_rounded_step_by_step() -> None:
    """Lengths of 1000 fit fp16, their squares do not."""
    gain = 1000 / largest(toy(), ["length"], [X])["length"]
    lengths = largest(rounded(to_half(toy(gain=gain))), ["length"], [X])
    assert lengths == {"length": float("inf")}


def test_islands_are_what_overflows_and_what_divides_by_it() -> None:
    assert islands(toy(), [X]) == frozenset()
    top = largest(toy(), ["length", "c2"], [X])
    # Squares come near the limit first, then the values themselves; everything that reads them stays with them.
    assert islands(toy(gain=70 / top["length"]), [X]) == NORM
    assert islands(toy(gain=20000 / top["c2"]), [X]) == {"n_conv2", *NORM}


def test_a_guard_that_fp16_loses_is_kept_in_fp32() -> None:
    assert islands(toy(guard=1e-12), [X]) == {"n_guard", "n_div"}
    assert islands(toy(guard=1e-3), [X]) == frozenset()


def test_with_its_islands_the_encoder_is_right_where_all_fp16_is_not() -> None:
    model = toy(gain=1e5, guard=1e-12)
    exact = encode(model)
    lowered = to_half(model, islands(model, [X]))
    mine = emulated(lowered.SerializeToString(), SETTINGS, "toy").encode(X).astype(np.float64)
    # Two convolutions with 11 bits in weights and values: about 2^-10 each.
    assert 1 - worst_cosine(mine, exact) < 1e-5
    assert 0 < np.abs(mine - exact).max() < 4e-3
