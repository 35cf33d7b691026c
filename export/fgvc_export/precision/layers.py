"""The layers whose precision is chosen one by one: each convolution with the activation and the sum behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from fgvc_export.precision.graph import labelled

# What joins the convolution that it reads.  A residual sum in fp16 rounds what convolutions in fp32 have kept.
JOINING = {"Relu", "Clip", "Add"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: its title for tables, its node's name, and the names of all nodes that go with it."""

    title: str
    conv: str
    nodes: frozenset[str]


def layers(model: ModelProto) -> list[Layer]:
    """Every convolution of the graph, in order.

    An activation or a sum belongs to the newest convolution whose result it alone reads.
    """
    readers = Counter(name for node in model.graph.node for name in node.input)
    convolutions: list[NodeProto] = []
    joined: list[set[str]] = []
    made_in: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            convolutions.append(node)
            joined.append({node.name})
            made_in[node.output[0]] = len(joined) - 1
        elif node.op_type in JOINING:
            own = [made_in[name] for name in node.input if name in made_in and readers[name] == 1]
            if own:
                joined[max(own)].add(node.name)
                made_in[node.output[0]] = max(own)
    return [
        Layer(labelled(conv), conv.name, frozenset(nodes)) for conv, nodes in zip(convolutions, joined, strict=True)
    ]


def tail(model: ModelProto, found: Sequence[Layer]) -> frozenset[str]:
    """Names of the nodes behind the last layers: no layer reads what they make, also not by way of other nodes."""
    inside = frozenset().union(*(layer.nodes for layer in found))
    behind: set[str] = set()
    read: set[str] = set()
    for node in reversed(model.graph.node):
        if node.name in inside or read.intersection(node.output):
            read.update(node.input)
        else:
            behind.add(node.name)
    return frozenset(behind)
