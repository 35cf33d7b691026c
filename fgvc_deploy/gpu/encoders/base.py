"""What a device encoder is, and the one that borrows an encoder of the CPU."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from fgvc_deploy.encoders.base import EncoderBackend, Float32Array


class Planes(NamedTuple):
    """An encoder's output on the device: [channels, h, w], contiguous, `kind` fp16 or fp32."""

    address: int
    kind: str
    channels: int
    hw: tuple[int, int]


class DeviceEncoder(Protocol):
    """One way to get features [C, h, w] onto the device."""

    name: str

    def prepare(self, image: Float32Array) -> Float32Array:
        """Host work on a preprocessed frame float32 [1, 3, H, W]; returns what is to be uploaded."""
        ...

    def enqueue(self, address: int, shape: tuple[int, ...]) -> Planes:
        """Enqueue the encoder on what was uploaded to `address`; inside `session.working()`.

        The planes are valid until the next call.
        """
        ...


class HostEncoder:
    """An encoder of the CPU whose features are uploaded: for GPUs without an engine, and for tests."""

    def __init__(self, encoder: EncoderBackend) -> None:
        self.name = encoder.name
        self._encoder = encoder

    def prepare(self, image: Float32Array) -> Float32Array:
        """Features [C, h, w] of a frame."""
        features: Float32Array = np.ascontiguousarray(self._encoder.encode(image).transpose(2, 0, 1))
        return features

    def enqueue(self, address: int, shape: tuple[int, ...]) -> Planes:
        """The upload itself."""
        return Planes(address, "fp32", shape[0], (shape[1], shape[2]))
