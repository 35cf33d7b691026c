"""Target `propagation`: the gate lets the right graph pass and stops a wrong one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from fgvc_deploy.encoders.base import Float32Array
from fgvc_deploy.errors import ParityError
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_export.budgets import enforce
from fgvc_export.clip import load_clip
from fgvc_export.parity import Setup
from fgvc_export.propagation_parity import propagation_track_figures, step_figures
from fgvc_export.propagation_target import build_graph

CLIP = load_clip(None)


class ShiftEncoder:
    """Nine shifted grey planes without their mean: features that match well, without a network."""

    name = "shift"

    def encode(self, x: Float32Array) -> Float32Array:
        grey = x[0].mean(axis=0)
        planes = [np.roll(grey, (dy, dx), (0, 1)) for dy in (-3, 0, 3) for dx in (-3, 0, 3)]
        features = np.stack(planes, axis=-1)[::4, ::4]
        return np.ascontiguousarray(features - features.mean(axis=2, keepdims=True))


SETUP = Setup(
    EncoderSettings(arch="shift", stride=4, channels=9),
    PreprocessSettings(color_space="rgb", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
    PropagationSettings(radius=4.5),
    "native",
)


def test_a_right_graph_passes_the_gate() -> None:
    content = build_graph(SETUP.propagation, {})
    figures = step_figures(content, ShiftEncoder(), SETUP, CLIP)
    figures += propagation_track_figures(content, ShiftEncoder(), SETUP, CLIP)
    assert [figure.figure for figure in figures] == ["match_score_max", "carried_label_max", "track_p95", "track_max"]
    enforce("The propagation export", figures)
    assert "1, 2, 6 key frames" in figures[0].detail


def edited(change: Callable[[onnx.NodeProto], None]) -> bytes:
    """The right graph with a change made to every node it applies to."""
    model = onnx.load_from_string(build_graph(SETUP.propagation, {}))
    before = model.SerializeToString()
    for node in model.graph.node:
        change(node)
    assert model.SerializeToString() != before
    return bytes(model.SerializeToString())


def a_wider_circle(node: onnx.NodeProto) -> None:
    if node.op_type == "Less":
        node.input[1] = "wide"
    if node.output[0] == "radius_squared":
        node.input[1] = "longest_double"
        node.output[0] = "wide"


def a_cut_window(node: onnx.NodeProto) -> None:
    if node.output[0] == "high_n":
        node.input[0] = "end_n"


@pytest.mark.parametrize("change", [a_wider_circle, a_cut_window])
def test_wrong_matches_stop_the_export(change: Callable[[onnx.NodeProto], None]) -> None:
    with pytest.raises(ParityError, match=r"The propagation export is wrong: .*; no bundle was written"):
        step_figures(edited(change), ShiftEncoder(), SETUP, CLIP)


@pytest.mark.parametrize(
    "wrong",
    [PropagationSettings(radius=4.5, temperature=0.08), PropagationSettings(radius=4.5, temperature=0.0701)],
    ids=["temperature", "temperature by a thousandth"],
)
def test_wrong_labels_miss_their_budget(wrong: PropagationSettings) -> None:
    scores, labels = step_figures(build_graph(wrong, {}), ShiftEncoder(), SETUP, CLIP)
    assert scores.passed
    assert not labels.passed
    with pytest.raises(ParityError, match=r"carried_label_max is .* where at most 5e-06 is allowed"):
        enforce("The propagation export", [scores, labels], "the float64 reference")


@pytest.mark.parametrize(
    "wrong",
    [
        PropagationSettings(radius=4.6, window="square"),
        PropagationSettings(radius=3.5),
        PropagationSettings(radius=4.5, topk=9),
    ],
)
def test_defaults_other_than_the_bundle_s_stop_the_export(wrong: PropagationSettings) -> None:
    with pytest.raises((ParityError, ValueError)):
        step_figures(build_graph(wrong, {}), ShiftEncoder(), SETUP, CLIP)
