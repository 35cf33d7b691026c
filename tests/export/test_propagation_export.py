"""Target `propagation`: what the file is, and that it computes the whole step."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.features import unit_features
from fgvc_deploy.settings import PropagationSettings
from fgvc_export.propagation_target import DOCS, build_graph
from fgvc_export.targets import chosen_targets
from fgvc_kernels.reference import AttentionOptions, attend, window_mask
from portable_graph import graph

Feed = dict[str, NDArray[Any]]


def session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def step_inputs(height: int, width: int, frames: int, channels: int = 6, points: int = 3) -> Feed:
    rng = np.random.default_rng(height * width)
    maps = [
        unit_features(rng.standard_normal((height, width, channels)).astype(np.float32)) for _ in range(frames + 1)
    ]
    unit = np.stack([frame.unit.reshape(height, width, channels) for frame in maps])
    labels = rng.random((frames, height, width, points), dtype=np.float32)
    return {"query": unit[0], "keys": unit[1:], "labels": labels}


def reference_labels(feed: Feed, settings: PropagationSettings) -> NDArray[np.float64]:
    hw = (feed["query"].shape[0], feed["query"].shape[1])
    options = AttentionOptions(topk=settings.topk, temperature=settings.temperature, normalize=False)
    query, keys, labels = (feed[name].astype(np.float64) for name in ("query", "keys", "labels"))
    return np.asarray(attend(query, keys, labels, window_mask(hw, settings.window, settings.radius), options))


@pytest.mark.parametrize("frames", [1, 2, 6])
@pytest.mark.parametrize("hw", [(9, 13), (1, 1), (24, 25), (33, 17)])
@pytest.mark.parametrize(
    "settings",
    [
        PropagationSettings(radius=7.5),
        PropagationSettings(window="square", radius=4, topk=5),
        PropagationSettings(radius=1.5, topk=32, temperature=0.5),
    ],
    ids=["circle", "square", "fewer keys than k"],
)
def test_the_file_alone_computes_the_step(settings: PropagationSettings, hw: tuple[int, int], frames: int) -> None:
    """With its three inputs and the defaults it was built with; 5e-6: see `carried_label_max` in the budgets."""
    feed = step_inputs(*hw, frames)
    found = session(graph(settings)).run(["new_labels"], feed)[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference_labels(feed, settings), rtol=0, atol=5e-6)


@pytest.mark.parametrize("points", [1, 64, 300])
def test_any_number_of_labels(points: int) -> None:
    """More pixels than one chunk of the label sums, and a last chunk that is not full."""
    settings = PropagationSettings(radius=3)
    feed = step_inputs(23, 31, 2, points=points)
    found = session(graph(settings)).run(["new_labels"], feed)[0]
    np.testing.assert_allclose(found, reference_labels(feed, settings), rtol=0, atol=5e-6)


def test_settings_given_beside_the_inputs_replace_the_defaults() -> None:
    settings = PropagationSettings(window="square", radius=2, topk=4, temperature=0.2)
    feed = step_inputs(12, 19, 3)
    given = {
        "radius": np.array(2.0),
        "square": np.array(True),
        "topk": np.array([4]),
        "temperature": np.array(0.2, np.float32),
    }
    replaced = session(graph()).run(None, feed | given)
    for mine, theirs in zip(replaced, session(graph(settings)).run(None, feed), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_labels_of_inactive_pixels_are_zero() -> None:
    feed = step_inputs(20, 21, 2)
    active = np.random.default_rng(0).random((20, 21)) < 0.1
    run = session(graph()).run
    part, full = (run(["new_labels"], feed | extra)[0] for extra in ({"active": active}, {}))
    np.testing.assert_allclose(part, np.where(active[..., None], full, 0), rtol=0, atol=1e-6)


def test_onnx_itself_agrees() -> None:
    """ONNX's own evaluator knows only the standard, so nothing here leans on one runtime."""
    feed = step_inputs(10, 9, 2, channels=4)
    evaluator: Any = ReferenceEvaluator(onnx.load_from_string(graph(PropagationSettings(radius=2.5, topk=3))))
    defaults = {name: value for name, value in evaluator.rt_inits_.items() if name in DOCS}
    labels, scores, _ = evaluator.run(None, feed | defaults)
    mine = session(graph(PropagationSettings(radius=2.5, topk=3))).run(None, feed)
    np.testing.assert_allclose(labels, mine[0], rtol=0, atol=5e-6)
    np.testing.assert_allclose(scores, mine[1], rtol=0, atol=1e-6)


def test_what_is_in_the_file() -> None:
    content = build_graph(PropagationSettings(), {"fgvc-deploy": "9.9"})
    model = onnx.load_from_string(content)
    assert len(content) < 16_000
    assert content == build_graph(PropagationSettings(), {"fgvc-deploy": "9.9"})
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    loops = [attribute.g for node in model.graph.node for attribute in node.attribute if attribute.HasField("g")]
    assert {node.domain for part in (model.graph, *loops) for node in part.node} == {""}
    described = {value.name: value.doc_string for value in (*model.graph.input, *model.graph.output)}
    assert described == DOCS
    assert model.producer_version == "9.9"
    sizes = {value.name: [dim.dim_param for dim in value.type.tensor_type.shape.dim] for value in model.graph.input}
    assert sizes["keys"] == ["T", "H", "W", "C"]


def test_it_has_one_precision() -> None:
    assert chosen_targets(("propagation",), "int8")[0].precision == "fp32"
    with pytest.raises(InputError, match="Target propagation has no precision 'int8'; choose from: fp32"):
        chosen_targets(("propagation:int8",), "fp32")
