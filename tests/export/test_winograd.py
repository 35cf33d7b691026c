"""Winograd's rewrite: exact matrices, the same features for any size and graph around it, and refusal where idle."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.errors import InputError
from fgvc_deploy.onnx_session import open_session
from fgvc_export.budgets import BUDGETS
from fgvc_export.parity import worst_cosine
from fgvc_export.targets import TARGETS, Choice, Source, build, run
from fgvc_export.winograd import rewrite as module
from fgvc_export.winograd.matrices import OUTPUTS, TAPS, WINDOW, one_dimension, output_matrix
from fgvc_export.winograd.rewrite import rewrite

ExportOf = Callable[[str], Any]
Features = NDArray[np.float32]
# Tiles that are whole, cut below, cut at the right, smaller than one; the second frame of a batch is another one.
SIZES = [(1, 32, 32), (1, 33, 47), (2, 38, 51), (3, 3, 2), (1, 1, 9)]


def test_one_dimension_is_the_correlation_exactly() -> None:
    """In fractions, on inputs that show every term: window and weights are large coprime numbers."""
    window_rows, weight_rows, output_rows = one_dimension()
    window = [Fraction(101 + 37 * i * i) for i in range(WINDOW)]
    weights = [Fraction(1009 + 211 * i) for i in range(TAPS)]
    moved = [sum(a * b for a, b in zip(row, window, strict=True)) for row in window_rows]
    spread = [sum(a * b for a, b in zip(row, weights, strict=True)) for row in weight_rows]
    found = [sum(a * b * c for a, b, c in zip(row, moved, spread, strict=True)) for row in output_rows]
    assert found == [sum(weights[k] * window[i + k] for k in range(TAPS)) for i in range(OUTPUTS)]


def test_the_block_of_zeros_has_no_terms() -> None:
    assert output_matrix().shape == (OUTPUTS**2 + 1, WINDOW**2)
    assert not output_matrix()[-1].any()


class Drawing:
    """A graph under construction: 3 colours, then layers with random weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(len(self.nodes))

    def conv(self, source: str, ci: int, co: int, side: int = 3, bias: bool = True, **attributes: Any) -> str:
        """Any convolution that keeps the size, unless `attributes` say otherwise."""
        name = f"m{len(self.nodes)}"
        group = attributes.get("group", 1)
        values = self._rng.standard_normal((co, ci // group, side, side)) * (2 / (ci // group * side**2)) ** 0.5
        arrays = [values, self._rng.standard_normal(co)][: 1 + bias]
        names = [f"{name}.{i}" for i in range(len(arrays))]
        self.weights += [numpy_helper.from_array(a.astype(np.float32), n) for a, n in zip(arrays, names, strict=True)]
        attributes = {"pads": [side // 2] * 4} | attributes
        self.nodes.append(helper.make_node("Conv", [source, *names], [name], **attributes))
        return name

    def op(self, kind: str, *sources: str, **attributes: Any) -> str:
        """Any other operator."""
        self.nodes.append(helper.make_node(kind, sources, [f"m{len(self.nodes)}"], **attributes))
        return str(self.nodes[-1].output[0])

    def model(self, output: str, channels: int) -> ModelProto:
        """The whole, checked."""
        self.nodes.append(helper.make_node("Identity", [output], ["features"]))
        frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", 3, "H", "W"])
        features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", channels, "h", "w"])
        graph = helper.make_graph(self.nodes, "drawn", [frames], [features], self.weights)
        model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model


def chain() -> tuple[ModelProto, int]:
    draw = Drawing()
    x = draw.op("Relu", draw.conv("frames", 3, 64))
    x = draw.op("Relu", draw.conv(x, 64, 128))
    return draw.model(draw.conv(x, 128, 128, bias=False), 128), 2


def residual() -> tuple[ModelProto, int]:
    """A block as in ResNet, whose input is used three times: by a layer, a shortcut, and after the block."""
    draw = Drawing()
    x = draw.op("Relu", draw.conv("frames", 3, 64))
    y = draw.conv(draw.op("Relu", draw.conv(x, 64, 128)), 128, 128)
    z = draw.op("Relu", draw.op("Add", y, draw.conv(x, 64, 128, side=1)))
    return draw.model(draw.op("Concat", z, draw.op("Add", z, y), x, axis=1), 320), 2


def strided() -> tuple[ModelProto, int]:
    """Two sizes of map; the second begins behind a layer that is not replaced."""
    draw = Drawing()
    x = draw.conv(draw.conv("frames", 3, 64), 64, 128)
    y = draw.conv(draw.op("Relu", x), 128, 128, strides=[2, 2])
    y = draw.op("Add", draw.conv(y, 128, 128), y)
    return draw.model(y, 128), 2


def kept() -> tuple[ModelProto, int]:
    """All but one of the 3x3 layers are dilated, grouped, unpadded, padded at one side, or narrow."""
    draw = Drawing()
    x = draw.conv(draw.conv("frames", 3, 128), 128, 128)
    x = draw.conv(x, 128, 128, dilations=[2, 2], pads=[2, 2, 2, 2])
    x = draw.conv(x, 128, 128, group=2)
    x = draw.conv(x, 128, 128, pads=[2, 2, 0, 0])
    x = draw.conv(x, 128, 128, side=1, pads=[1, 1, 1, 1])
    x = draw.conv(x, 128, 128, pads=[0, 0, 0, 0])
    return draw.model(draw.conv(draw.conv(x, 128, 32), 32, 128), 128), 1


def scaled() -> tuple[ModelProto, int]:
    """An addition that is not of two maps, between layers that are replaced."""
    draw = Drawing()
    x = draw.conv(draw.conv("frames", 3, 64), 64, 128)
    x = draw.op("Add", x, draw.op("GlobalAveragePool", x))
    return draw.model(draw.op("Relu", draw.conv(x, 128, 64)), 64), 2


def features_of(model: ModelProto, frames: Features) -> Features:
    session = open_session(model.SerializeToString(), "a drawn graph", 2)
    found: Features = session.run(None, {"frames": frames})[0]
    return found


@pytest.mark.parametrize("drawn", [chain, residual, strided, kept, scaled])
def test_the_graph_computes_what_it_did(drawn: Callable[[], tuple[ModelProto, int]]) -> None:
    """fp32 in another order: F(4x4, 3x3) costs some 10 roundings more a layer, far below the budget of an export."""
    before, layers = drawn()
    after, again = ModelProto(), ModelProto()
    for copy in (after, again):
        copy.CopyFrom(before)
        assert rewrite(copy) == layers
    onnx.checker.check_model(after, full_check=True)
    assert after.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    for size in SIZES:
        frames = np.random.default_rng(1).standard_normal((size[0], 3, *size[1:]), dtype=np.float32)
        expected = features_of(before, frames).transpose(0, 2, 3, 1)
        found = features_of(after, frames)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))


def test_weights_that_are_no_longer_used_leave_the_file() -> None:
    model, _ = residual()
    size = model.ByteSize()
    rewrite(model)
    used = {name for node in model.graph.node for name in node.input}
    assert {entry.name for entry in model.graph.initializer} <= used
    # Nine taps a weight as before; the bias is there 17 times.
    assert model.ByteSize() < 1.1 * size


def test_nothing_to_replace_leaves_the_graph_alone() -> None:
    draw = Drawing()
    model = draw.model(draw.conv(draw.conv("frames", 3, 64), 64, 64), 64)
    before = model.SerializeToString(deterministic=True)
    assert rewrite(model) == 0
    assert model.SerializeToString(deterministic=True) == before


def source_of(exported: ExportOf, arch: str) -> Source:
    bundle = exported(arch).report.bundle
    content = bundle.read(bundle.find(kind="encoder"))
    manifest = bundle.manifest
    none: Any = None
    return Source(none, manifest.encoder, manifest.propagation, "fp32", {}, shared={"onnx": content})


def test_resnet_keeps_the_budgets_of_fp32(exported: ExportOf) -> None:
    source = source_of(exported, "resnet18_d1")
    content = build(TARGETS["winograd"], source)
    assert len(content) < 1.05 * len(source.shared["onnx"])
    ours = run(Choice(TARGETS["winograd"], "fp32"), content, source.settings)
    theirs = OnnxRuntimeEncoder(source.shared["onnx"], source.settings)
    for hw in ((64, 80), (33, 47)):
        x = np.random.default_rng(0).standard_normal((1, 3, *hw), dtype=np.float32)
        mine, expected = ours.encode(x), theirs.encode(x)
        assert mine.flags.c_contiguous
        assert np.abs(mine - expected).max() <= BUDGETS["feature_error_max"].value["fp32"] * np.abs(expected).max()
        cosine = worst_cosine(mine.astype(np.float64), expected.astype(np.float64))
        assert cosine >= BUDGETS["feature_cosine_min"].value["fp32"]


def test_an_encoder_without_wide_layers_is_refused(exported: ExportOf) -> None:
    with pytest.raises(
        InputError, match=r"Target winograd would change nothing in edge_lite0: .*; leave that target"
    ):
        build(TARGETS["winograd"], source_of(exported, "edge_lite0"))


def test_the_example_size_divides_by_nothing_small() -> None:
    """Two maps have the same size on it only if they have on every frame."""
    height, width = module.EXAMPLE_SIZE
    assert all(side % divisor for side in (height, width) for divisor in range(2, 20))
