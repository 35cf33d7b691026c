"""Looking at the values inside an ONNX encoder while it runs on frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper

from fgvc_deploy.encoders.base import Float32Array
from fgvc_deploy.onnx_session import open_session

# Values of a few tensors at a time: all of a ResNet's on one large frame would be gigabytes.
AT_ONCE = 8


def values(
    model: ModelProto, names: Sequence[str], frames: Sequence[Float32Array]
) -> Iterator[tuple[str, list[Float32Array]]]:
    """Each float32 tensor of `names` with its value on every frame [1, 3, H, W]."""
    given = {value.name for value in model.graph.input}
    yield from ((name, list(frames)) for name in names if name in given)
    wanted = [name for name in names if name not in given]
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        outputs = _run(model, some, frames)
        for index, name in enumerate(some):
            yield name, [output[index] for output in outputs]


def _run(model: ModelProto, names: list[str], frames: Sequence[Float32Array]) -> list[list[Float32Array]]:
    opened = ModelProto()
    opened.CopyFrom(model)
    del opened.graph.output[:]
    opened.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(opened.SerializeToString(), "the encoder with its inner values as outputs", None)
    feed = model.graph.input[0].name
    return [session.run(names, {feed: frame}) for frame in frames]


def largest(model: ModelProto, names: Sequence[str], frames: Sequence[Float32Array]) -> dict[str, float]:
    """Largest magnitude of each tensor over all frames."""
    return {name: max(float(np.abs(x).max()) for x in seen) for name, seen in values(model, names, frames)}
