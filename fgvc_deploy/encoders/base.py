"""What an encoder backend is.  Each backend is one module beside this one; `select.py` lists them."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError

Float32Array = NDArray[np.float32]
# Below this the deepest level of an encoder is one or two pixels wide; exports are gated from here upwards.
MIN_SIDE = 32


class EncoderBackend(Protocol):
    """One way to run the encoder of a bundle."""

    name: str

    def encode(self, x: Float32Array) -> Float32Array:
        """Features of one frame.

        `x` float32 [1, 3, H, W]: the frame after preprocessing, H and W >= 32.  Returns float32
        [ceil(H/stride), ceil(W/stride), C], C-contiguous, channels last, NOT normalised; feature (i, j) is centred on
        network pixel (stride*i, stride*j).  Raises `InputError` for another shape or type.
        """
        ...


Encoder = TypeVar("Encoder", bound=EncoderBackend)


def check_input(x: Float32Array) -> None:
    """Raise `InputError` unless `x` is float32 [1, 3, H, W] with H, W >= 32."""
    if x.ndim != 4 or x.shape[:2] != (1, 3) or x.dtype != np.float32:
        raise InputError(f"An encoder takes float32 [1, 3, H, W]; it was given {x.dtype} {list(x.shape)}.")
    height, width = x.shape[2:]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"A network size of {width}x{height} is too small; the encoder needs {MIN_SIDE} pixels on each side, "
            "so choose a larger --size."
        )


def channels_last(features: Float32Array) -> Float32Array:
    """[1, C, h, w] -> C-contiguous [h, w, C]."""
    return np.ascontiguousarray(features[0].transpose(1, 2, 0))


def named_with_precision(encoder: Encoder, precision: str) -> Encoder:
    """The encoder, called `name:precision` in reports unless it is fp32."""
    if precision != "fp32":
        encoder.name = f"{encoder.name}:{precision}"
    return encoder
