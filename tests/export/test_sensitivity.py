"""Which layers keep their precision: the fewest, by measured loss; and what a recipe makes of an encoder."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fgvc_export.precision import recipe
from fgvc_export.precision.layers import Layer, layers, tail
from fgvc_export.precision.observe import values
from fgvc_export.precision.recipe import Recipes
from fgvc_export.precision.sensitivity import CROP, Judge, alone, cropped, kept
from toy_encoder import toy_onnx

FRAMES = [np.random.default_rng(seed).standard_normal((1, 3, 64, 80), dtype=np.float32) for seed in range(3)]
NAMED = [Layer(name, name, frozenset({name})) for name in "abcdefgh"]
COST = dict(zip(NAMED, (1.0, 8.0, 3.0, 0.5, 2.0, 0.25, 4.0, 0.125), strict=True))


def total(lowered: frozenset[Layer]) -> float:
    return sum(COST[layer] for layer in lowered)


@pytest.mark.parametrize(
    ("target", "stay"), [(100.0, ""), (11.0, "b"), (6.9, "bg"), (3.0, "bgce"), (0.125, "bgceadf"), (0.0, "bgceadfh")]
)
def test_the_fewest_of_the_most_sensitive_layers_are_kept(target: float, stay: str) -> None:
    by_loss = alone(NAMED, total)
    assert "".join(layer.title for layer in by_loss) == "bgceadfh"
    assert {layer.title for layer in kept(by_loss, total, target)} == set(stay)


def test_the_search_measures_about_the_logarithm_of_the_layers() -> None:
    asked: list[frozenset[Layer]] = []

    def counted(lowered: frozenset[Layer]) -> float:
        asked.append(lowered)
        return total(lowered)

    kept(alone(NAMED, total), counted, 3.0)
    assert len(asked) <= 4


def test_a_layer_is_a_convolution_with_the_activation_that_only_it_feeds() -> None:
    model = named_toy()
    assert [(layer.title, set(layer.nodes)) for layer in layers(model)] == [
        ("Conv0", {"Conv0", "Relu1"}),
        ("Conv2", {"Conv2"}),
    ]
    model.graph.node.append(helper.make_node("Identity", ["c1"], ["second_reader"], "Second"))
    assert [set(layer.nodes) for layer in layers(model)] == [{"Conv0"}, {"Conv2"}]


def test_a_residual_sum_goes_with_the_convolution_that_ends_the_block() -> None:
    nodes = [
        helper.make_node("Conv", ["frames", "w"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["trunk"], "relu"),
        helper.make_node("Conv", ["trunk", "w"], ["b"], "second"),
        helper.make_node("Conv", ["trunk", "w"], ["c"], "downsample"),
        helper.make_node("Add", ["b", "c"], ["sum"], "add"),
        helper.make_node("Relu", ["sum"], ["out"], "last"),
        helper.make_node("Conv", ["out", "w"], ["d"], "third"),
        helper.make_node("Add", ["d", "out"], ["features"], "add2"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "blocks", [], []))
    assert [set(layer.nodes) for layer in layers(model)] == [
        {"first", "relu"},
        {"second"},
        {"downsample", "add", "last"},
        {"third", "add2"},
    ]


def named_toy() -> onnx.ModelProto:
    model = onnx.load_from_string(toy_onnx())
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{index}"
    return model


def ending_in(*operators: str) -> onnx.ModelProto:
    """The toy with these nodes behind its features."""
    model = named_toy()
    model.graph.node[-1].output[0] = "raw0"
    for index, name in enumerate(operators):
        last = index == len(operators) - 1
        model.graph.node.append(
            helper.make_node(name, [f"raw{index}"], ["features" if last else f"raw{index + 1}"], f"last{index}")
        )
    return model


def test_the_judge_sees_matches_and_broken_features() -> None:
    judge = Judge(named_toy(), FRAMES, 10)
    # Cosines of opposite features are the same.
    for same in (named_toy(), ending_in("Neg")):
        assert judge.error(same) == pytest.approx(0, abs=1e-7)
        assert judge.changed(same) == 0
    assert 0.01 < judge.error(ending_in("Sigmoid")) < 1
    assert 0.05 < judge.changed(ending_in("Sigmoid")) < 1
    assert (judge.error(ending_in("Log")), judge.changed(ending_in("Log"))) == (float("inf"), 1)


def test_features_with_much_in_common_are_judged_by_what_they_do_not_share() -> None:
    """A part that all features have makes every cosine nearly 1, but the best keys are as easily lost as before."""
    model = ending_in("Identity")
    bent = ending_in("Abs")
    for one in (model, bent):
        common = np.full((1, 24, 1, 1), 30.0, np.float32)
        one.graph.initializer.append(numpy_helper.from_array(common, "common"))
        one.graph.node[-1].output[0] = "before"
        one.graph.node.append(helper.make_node("Add", ["before", "common"], ["features"], "shift"))
    judge = Judge(model, FRAMES, 10)
    assert judge.error(bent) < 1e-3
    assert judge.changed(bent) > 0.05


def test_the_judge_counts_keys_that_change_like_a_plain_loop() -> None:
    model, other = named_toy(), ending_in("Tanh")
    judge = Judge(model, FRAMES, 4)
    found = []
    for one in (model, other):
        ((_, seen),) = values(one, ["features"], [FRAMES[0], FRAMES[-1]])
        keys, queries = (array[0].reshape(array.shape[1], -1).T.astype(np.float64) for array in seen)
        keys, queries = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (keys, queries))
        found.append([set(np.argsort(-(keys @ query))[:4]) for query in queries])
    lost = sum(len(theirs - mine) for theirs, mine in zip(*found, strict=True))
    assert judge.changed(other) == pytest.approx(lost / (4 * len(found[0])))


def test_a_pass_looks_at_the_middle_of_large_frames() -> None:
    frame = np.arange(3 * 300 * 100, dtype=np.float32).reshape(1, 3, 300, 100)
    assert cropped(frame).shape == (1, 3, CROP, 100)
    np.testing.assert_array_equal(cropped(frame), frame[:, :, 54 : 54 + CROP])


def test_recipes_say_what_they_kept_and_are_the_same_every_time() -> None:
    recipes = Recipes(named_toy(), FRAMES, 10)
    half, int8 = recipes.half(), recipes.int8()
    assert half.in_fp32 == int8.in_fp32
    assert not set(int8.in_fp32) & set(int8.in_int8)
    said = {prop.key: prop.value for prop in onnx.load_from_string(int8.content()).metadata_props}
    assert said["layers in int8"] == ", ".join(int8.in_int8)
    assert said["calibration"] == int8.calibration
    assert float(said["share of multiply-adds in int8"]) == pytest.approx(int8.share, abs=0.005)
    again = Recipes(named_toy(), FRAMES, 10)
    assert again.half().content() == half.content()
    assert again.int8().content() == int8.content()


@pytest.mark.parametrize(("target", "lowered"), [(1.0, 2), (0.0, 0)])
def test_the_target_decides_how_much_is_lowered(monkeypatch: pytest.MonkeyPatch, target: float, lowered: int) -> None:
    monkeypatch.setattr(recipe, "TARGET_LOSS", {"fp16": target, "int8": target})
    monkeypatch.setattr(recipe, "BEYOND_FLOOR", 0)
    recipes = Recipes(named_toy(), FRAMES, 10)
    assert len(recipes.half().in_fp32) == 2 - lowered
    assert len(recipes.int8().in_int8) == lowered


def test_what_lies_behind_the_last_layers_is_told_from_what_lies_between() -> None:
    nodes = [
        helper.make_node("Conv", ["frames", "w"], ["a"], "first"),
        helper.make_node("MaxPool", ["a"], ["pooled"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Conv", ["pooled", "w"], ["b"], "second"),
        helper.make_node("ReduceL2", ["b"], ["length"], "norm"),
        helper.make_node("Div", ["b", "length"], ["unit"], "divide"),
        helper.make_node("Concat", ["unit", "a"], ["features"], "join", axis=1),
    ]
    model = helper.make_model(helper.make_graph(nodes, "levels", [], []))
    assert tail(model, layers(model)) == {"norm", "divide", "join"}
