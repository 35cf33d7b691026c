"""fp16: weights and arithmetic in half precision, with islands of fp32.

Which nodes are islands is `islands.py`; how the result rounds is emulated by `rounding.py`.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fgvc_export.precision.graph import (
    float_inputs,
    float_tensors,
    replace_nodes,
    used_only,
    weights,
)

HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT
SUFFIX: dict[int, str] = {HALF: "_fp16", FULL: "_fp32"}


def to_half(model: ModelProto, islands: frozenset[str] = frozenset()) -> ModelProto:
    """A copy of an fp32 model that computes in fp16, except for the nodes named in `islands`.

    Inputs and outputs stay float32, as in the fp32 file: the first and last nodes are casts.
    """
    lowered = ModelProto()
    lowered.CopyFrom(model)
    writer = _Writer(lowered, float_tensors(model), islands)
    for value in model.graph.input:
        writer.made_as[value.name] = FULL
    for node in model.graph.node:
        writer.add(node)
    writer.finish()
    return lowered


class _Writer:
    """Rewrites node by node; each tensor exists in the type it was made in, and once as a cast where it is needed."""

    def __init__(self, model: ModelProto, floats: frozenset[str], islands: frozenset[str]) -> None:
        self.model, self.floats, self.islands = model, floats, islands
        self.made_as: dict[str, int] = {}
        self.nodes: list[NodeProto] = []
        self._weights = weights(model)
        self._casts: dict[tuple[str, int], str] = {}
        self._outputs = {value.name for value in model.graph.output}

    def add(self, node: NodeProto) -> None:
        kind = FULL if node.name in self.islands else HALF
        copy = NodeProto()
        copy.CopyFrom(node)
        for index, name in float_inputs(node, self.floats):
            copy.input[index] = self._as(name, kind)
        self.nodes.append(copy)
        for index, name in enumerate(node.output):
            if name in self.floats:
                self._made(copy, index, name, kind)

    def _made(self, node: NodeProto, index: int, name: str, kind: int) -> None:
        self.made_as[name] = kind
        if name in self._outputs and kind == HALF:
            # The graph's output keeps its name and type; nodes that read it too read the half.
            node.output[index] = name + SUFFIX[HALF]
            self.nodes.append(helper.make_node("Cast", [node.output[index]], [name], f"{name}_cast", to=FULL))
            self._casts[name, HALF], self.made_as[name] = node.output[index], FULL

    def _as(self, name: str, kind: int) -> str:
        """The name under which a tensor is found in this type."""
        if self.made_as.get(name, FULL if name in self._weights else kind) == kind:
            return name
        if (name, kind) not in self._casts:
            self._casts[name, kind] = target = name + SUFFIX[kind]
            if name in self._weights:
                half = self._weights[name].astype(np.float16)
                self.model.graph.initializer.append(numpy_helper.from_array(half, target))
            else:
                self.nodes.append(helper.make_node("Cast", [name], [target], f"{target}_cast", to=kind))
        return self._casts[name, kind]

    def finish(self) -> None:
        replace_nodes(self.model, self.nodes)
        used_only(self.model)
