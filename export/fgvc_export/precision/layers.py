"""The layers whose precision is chosen one by one: each convolution with the activation behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from fgvc_export.precision.graph import labelled

ACTIVATIONS = {"Relu", "Clip"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: its title for tables, its node's name, and the names of all nodes that go with it."""

    title: str
    conv: str
    nodes: frozenset[str]


def layers(model: ModelProto) -> list[Layer]:
    """Every convolution of the graph, in order."""
    readers = Counter(name for node in model.graph.node for name in node.input)
    by_input = {node.input[0]: node for node in model.graph.node if node.op_type in ACTIVATIONS}
    return [_layer(node, by_input, readers) for node in model.graph.node if node.op_type == "Conv"]


def _layer(conv: NodeProto, by_input: dict[str, NodeProto], readers: Counter[str]) -> Layer:
    behind = by_input.get(conv.output[0]) if readers[conv.output[0]] == 1 else None
    return Layer(labelled(conv), conv.name, frozenset({conv.name, *([behind.name] if behind else [])}))
