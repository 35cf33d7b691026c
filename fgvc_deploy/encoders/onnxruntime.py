"""The portable encoder backend: ONNX Runtime on the CPU.  The package is imported when the backend is made."""

from __future__ import annotations

from typing import Any

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import Float32Array, channels_last, check_input, named_with_precision
from fgvc_deploy.errors import BundleError
from fgvc_deploy.onnx_session import encode, open_session
from fgvc_deploy.settings import EncoderSettings


def create(bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> OnnxRuntimeEncoder:
    """The encoder of a bundle; errors as `OnnxRuntimeEncoder`, and `BundleError` when the bundle has no such file."""
    artefact = bundle.find(kind="encoder", target="onnx", precision=precision)
    where = f"{bundle.path}: {artefact.path!r}"
    encoder = OnnxRuntimeEncoder(bundle.read(artefact), bundle.manifest.encoder, where=where, threads=threads)
    return named_with_precision(encoder, precision)


class OnnxRuntimeEncoder:
    """Runs an ONNX encoder; the same input gives the same bits for a given number of threads.

    The features in the file are [N, C, h, w], or [N, h, w, C] (target `winograd`).  `model` is its content, `where`
    names it in errors.  `threads` bounds the threads inside an operator; None leaves it to ONNX Runtime (the physical
    cores).  Raises `BackendError` when ONNX Runtime is missing or cannot load the model, `BundleError` when the model
    is not the encoder that `settings` describe.
    """

    name = "onnxruntime"

    def __init__(
        self, model: bytes, settings: EncoderSettings, *, where: str = "the encoder", threads: int | None = None
    ) -> None:
        self._where = where
        self._stride = settings.stride
        self._session = open_session(model, where, threads)
        self._input, self._channels_last = _check_interface(self._session, settings.channels, where)

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        check_input(x)
        features = encode(self._session, self._input, x, self._where)
        expected = tuple(-(-side // self._stride) for side in x.shape[2:])
        found = features.shape[1:3] if self._channels_last else features.shape[2:]
        if found != expected:
            raise BundleError(
                f"{self._where} gives features of {found} where stride {self._stride} means {expected}; "
                "export the checkpoint again."
            )
        return features[0] if self._channels_last else channels_last(features)


def _check_interface(session: Any, channels: int, where: str) -> tuple[str, bool]:
    """Name of the one input, and whether the graph maps [N, 3, H, W] to [N, h, w, channels], not [N, channels, h, w].

    Raises `BundleError` when it does neither; the other sizes are open, so there is no doubt between the two.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    fits = len(inputs) == len(outputs) == 1 and len(inputs[0].shape) == len(outputs[0].shape) == 4
    if not fits or inputs[0].shape[1] != 3 or channels not in outputs[0].shape[1::2]:
        raise BundleError(
            f"{where} is not an encoder of 3 colours to {channels} channels as the manifest says; "
            "export the checkpoint again."
        )
    return str(inputs[0].name), outputs[0].shape[1] != channels
