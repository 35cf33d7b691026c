"""Precision `int8` of target `onnx`: static quantisation by ONNX Runtime, calibrated on frames of the parity clip.

Whether the result is good enough is not decided here but by the parity gate, on tracks.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from fgvc_deploy.encoders.base import Float32Array

# What carries the arithmetic; norms, resizing and joining of levels stay in fp32.
OPERATORS = ["Conv", "Add", "Relu"]


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    """Hands frames [1, 3, H, W] to the calibration one by one."""

    def __init__(self, name: str, frames: Sequence[Float32Array]) -> None:
        self._feeds = iter([{name: frame} for frame in frames])

    def get_next(self) -> dict[str, Float32Array] | None:
        """The next feed, None at the end."""
        return next(self._feeds, None)


def quantise(content: bytes, frames: Sequence[Float32Array]) -> bytes:
    """The ONNX file with int8 weights (a scale for each channel) and uint8 activations, in ranges of `frames`."""
    model = onnx.load_from_string(content)
    with tempfile.TemporaryDirectory(prefix="fgvc-int8-") as folder, _quiet_quantiser():
        target = Path(folder) / "encoder.onnx"
        quantize_static(
            model,
            target,
            _Frames(model.graph.input[0].name, frames),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Weights of 7 bits: products of 8 bits overflow on processors without VNNI, and a figure measured here
            # would not hold there.
            reduce_range=True,
        )
        quantised = onnx.load(target)
    del quantised.graph.value_info[:]
    return bytes(quantised.SerializeToString(deterministic=True))


@contextmanager
def _quiet_quantiser() -> Iterator[None]:
    """Silence advice about a preprocessing that the exporter has done, and undo the logging it sets up on the way."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:] = handlers
        root.setLevel(level)
