"""What int8 is given beside ranges: clips around zero, corrected biases, and the best range for each tensor."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fgvc_export.precision.balanced import balanced
from fgvc_export.precision.bias import input_means, with_corrected_bias
from fgvc_export.precision.graph import weights
from fgvc_export.precision.layers import layers
from fgvc_export.precision.observe import values
from fgvc_export.precision.qdq import with_qdq
from fgvc_export.precision.quantiser import best_ranges, multiplications, quantised

RNG = np.random.default_rng(7)
X = RNG.standard_normal((1, 3, 32, 40), dtype=np.float32)


def block(*, kernel: int = 1, bias: bool = True, second_reader: bool = False) -> ModelProto:
    """Depthwise-like head of an inverted bottleneck: convolution, ReLU6, convolution."""
    rng = np.random.default_rng(1)
    constants = {
        "w1": rng.standard_normal((16, 3, 3, 3)) * 0.8,
        "b1": rng.standard_normal(16) * 2 + 2,
        "w2": rng.standard_normal((8, 16, kernel, kernel)) / 8,
        **({"b2": rng.standard_normal(8)} if bias else {}),
        "low": np.array(0.0),
        "high": np.array(6.0),
    }
    edge = kernel // 2
    nodes = [
        helper.make_node("Conv", ["frames", "w1", "b1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c1", "low", "high"], ["r1"], "relu6"),
        helper.make_node("Conv", ["r1", "w2", *(["b2"] if bias else [])], ["c2"], "second", pads=[edge] * 4),
        helper.make_node("Identity", ["r1" if second_reader else "c2"], ["beside"], "reader"),
        helper.make_node("Relu", ["c2"], ["features"], "last"),
    ]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 8, "h", "w"])]
    if second_reader:
        outputs.append(helper.make_tensor_value_info("beside", TensorProto.FLOAT, ["N", 16, "h", "w"]))
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        outputs,
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def tensor(model: ModelProto, name: str) -> NDArray[np.float64]:
    ((_, (seen,)),) = values(model, [name], [X])
    return seen.astype(np.float64)


def test_a_balanced_clip_computes_the_same_from_values_around_zero() -> None:
    model = block()
    moved = balanced(model, frozenset({"second"}))
    onnx.checker.check_model(moved, full_check=True)
    np.testing.assert_allclose(tensor(moved, "features"), tensor(model, "features"), atol=2e-5)
    before, after = tensor(model, "r1"), tensor(moved, "r1")
    assert (before.min(), before.max()) == (0, 6)
    assert (after.min(), after.max()) == (-3, 3)
    assert [node.op_type for node in moved.graph.node] == [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (block(kernel=3), {"second"}),
        (block(bias=False), {"second"}),
        (block(second_reader=True), {"second"}),
        (block(), {"first"}),
        (block(), set()),
    ],
    ids=["pads", "no bias", "read twice", "no clip before it", "not asked"],
)
def test_other_clips_stay(model: ModelProto, asked: set[str]) -> None:
    assert balanced(model, frozenset(asked)) == model


def test_balancing_halves_the_step_of_the_activations() -> None:
    model = block()
    moved = balanced(model, frozenset({"second"}))
    errors = []
    for one, largest in ((model, 6.0), (moved, 3.0)):
        exact = tensor(one, "r1")
        read = with_qdq(one, {"second": largest})
        name = next(node.input[0] for node in read.graph.node if node.name == "second")
        errors.append(float(np.abs(tensor(read, name) - exact).max()))
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.05)


@pytest.mark.parametrize("bias", [True, False])
def test_a_corrected_bias_gives_each_channel_its_mean_back(bias: bool) -> None:
    model = block(bias=bias)
    coarse = 24.0  # A range four times too wide, so that rounding has a mean to correct.
    lowered = with_qdq(model, {"second": coarse})
    corrected = with_corrected_bias(
        model, lowered, {"second": input_means([tensor(model, "r1").astype(np.float32)], coarse)}
    )
    onnx.checker.check_model(corrected, full_check=True)
    exact = tensor(model, "c2").mean(axis=(0, 2, 3))
    off = np.abs(tensor(lowered, "c2").mean(axis=(0, 2, 3)) - exact).max()
    left = np.abs(tensor(corrected, "c2").mean(axis=(0, 2, 3)) - exact).max()
    assert off > 3e-3
    assert left < 1e-5


def test_depthwise_weights_are_corrected_channel_by_channel() -> None:
    rng = np.random.default_rng(2)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["frames", "w"], ["features"], "depthwise", group=3)],
        "depthwise",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 6, "h", "w"])],
        [numpy_helper.from_array(rng.standard_normal((6, 1, 3, 3)).astype(np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    lowered = with_qdq(model, {"depthwise": 40.0})
    # Constant channels: the mean over the border-free results is exact.
    frame = np.broadcast_to(np.array([0.4, -0.7, 1.3], np.float32).reshape(1, 3, 1, 1), (1, 3, 8, 8)).copy()
    corrected = with_corrected_bias(model, lowered, {"depthwise": input_means([frame], 40.0)})
    ((_, (exact,)),) = values(model, ["features"], [frame])
    ((_, (mine,)),) = values(corrected, ["features"], [frame])
    ((_, (raw,)),) = values(lowered, ["features"], [frame])
    assert np.abs(raw - exact).max() > 0.02
    np.testing.assert_allclose(mine, exact, atol=1e-5)


def test_each_tensor_takes_the_range_that_loses_least() -> None:
    model = block()
    asked: list[ModelProto] = []

    def error(lowered: ModelProto) -> float:
        asked.append(lowered)
        return float(np.abs(tensor(lowered, "features") - tensor(model, "features")).mean())

    chosen = [layer for layer in layers(model) if layer.conv == "second"]
    ranges, errors = best_ranges(model, chosen, [X], error)
    ((layer, best),) = ranges.items()
    # ReLU6 fills its range to the end, so the methods agree and nothing is tried twice.
    assert best.largest == pytest.approx(3, rel=0.01)
    assert len(asked) == 1
    assert errors[layer] == error(quantised(model, ranges)) < error(with_qdq(model, {"second": 6.0}))


def test_multiplications_are_those_of_the_definition() -> None:
    model = block(kernel=3)
    cost = {layer.conv: count for layer, count in multiplications(model, layers(model), X).items()}
    assert cost == {"first": 16 * 32 * 40 * 27, "second": 8 * 32 * 40 * 144}
    assert weights(model)["w2"].shape == (8, 16, 3, 3)
