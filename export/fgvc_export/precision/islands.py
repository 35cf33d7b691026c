"""Which nodes must stay in fp32 when the rest computes in fp16: where values overflow, vanish or divide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto

from fgvc_deploy.encoders.base import Float32Array
from fgvc_export.precision.graph import float_inputs, float_tensors, weights
from fgvc_export.precision.observe import largest

LARGEST_HALF = 65504.0
# Other videos than the calibration's may have larger values: this many times larger ones must still fit.
HEADROOM = 4.0


def islands(model: ModelProto, frames: Sequence[Float32Array]) -> frozenset[str]:
    """Names of nodes of an fp32 model that fp16 would harm on these frames [1, 3, H, W].

    A node is an island when a constant of it is lost in fp16 (the 1e-12 that guards a division becomes 0), when a
    value it takes or makes comes within `HEADROOM` of fp16's largest, or when it divides by what an island made.
    """
    floats = float_tensors(model)
    constants = {name: array for name, array in weights(model).items() if name in floats}
    inner = [name for node in model.graph.node for name in node.output if name in floats]
    size = largest(model, inner, frames)
    found: set[str] = set()
    widened: set[str] = set()
    for node in model.graph.node:
        if _loses_a_constant(node, constants, floats) or _overflows(node, size) or _divides(node, widened):
            found.add(node.name)
            widened.update(node.output)
    return frozenset(found)


def _loses_a_constant(node: NodeProto, constants: dict[str, np.ndarray], floats: frozenset[str]) -> bool:
    """Whether a scalar becomes 0 or infinite; among many weights, one that vanishes is rounding."""
    for _, name in float_inputs(node, floats):
        if name in constants:
            exact = constants[name]
            with np.errstate(over="ignore"):
                half = exact.astype(np.float16)
            if not np.isfinite(half).all() or (exact.size == 1 and exact.item() != 0 and half.item() == 0):
                return True
    return False


def _overflows(node: NodeProto, size: dict[str, float]) -> bool:
    reached = HEADROOM * max((size[name] for name in (*node.input, *node.output) if name in size), default=0.0)
    # A norm goes through the sum of squares.
    return (reached**2 if node.op_type == "ReduceL2" else reached) > LARGEST_HALF


def _divides(node: NodeProto, widened: set[str]) -> bool:
    return node.op_type == "Div" and node.input[1] in widened
