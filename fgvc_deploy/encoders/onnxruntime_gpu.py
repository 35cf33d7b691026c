"""ONNX Runtime on a GPU as an encoder backend: frames go there and features come back, for any propagation backend.

`fgvc_deploy.gpu.encoders.onnx` keeps the features on the GPU.  Which provider really runs is asked of the session:
onnxruntime-gpu lists CUDA and TensorRT as available even where neither can be loaded.
"""

from __future__ import annotations

import re
from typing import Any

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import Float32Array, channels_last, check_input, named_with_precision
from fgvc_deploy.encoders.held_output import held_output
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.names import CUDA
from fgvc_deploy.onnx_session import encode

MEND = "pip uninstall -y onnxruntime; pip install 'fgvc-deploy[gpu]'"
_MISSING = f"ONNX Runtime for GPUs is not installed; run `{MEND}`."


def create(bundle: Bundle, *, precision: str = "fp32", provider: str = CUDA) -> OnnxRuntimeGpuEncoder:
    """The encoder of a bundle on the GPU; errors as `OnnxRuntimeGpuEncoder`."""
    artefact = bundle.find(kind="encoder", target="onnx", precision=precision)
    encoder = OnnxRuntimeGpuEncoder(bundle.read(artefact), f"{bundle.path}: {artefact.path!r}", provider)
    return named_with_precision(encoder, precision)


def obstacle(provider: str = CUDA) -> str | None:
    """Why this provider cannot be tried here, or None; only a session says whether it works."""
    try:
        import onnxruntime as ort
    except ImportError:
        return _MISSING
    if provider not in ort.get_available_providers():
        return f"the onnxruntime installed here is built without {provider}; run `{MEND}`."
    from fgvc_deploy.gpu.probe import device

    try:
        device()
    except BackendError as error:
        return str(error)
    return None


def open_gpu_session(model: bytes, where: str, provider: str, options: dict[str, str]) -> Any:
    """A session whose first provider is the one asked for.

    Raises BackendError when ONNX Runtime is missing, cannot load the model, or would silently run it on the CPU.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise BackendError(_MISSING) from None
    if provider not in ort.get_available_providers():
        raise BackendError(f"The onnxruntime installed here is built without {provider}; run `{MEND}`.")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    try:
        with held_output() as said:
            session = ort.InferenceSession(model, settings, providers=[(provider, options)])
    except Exception as error:  # its exceptions share no base class
        reason = str(error).splitlines()[0].rpartition(" : ")[2].removesuffix(".")
        raise BackendError(f"{where} cannot be loaded by ONNX Runtime with {provider} ({reason}).") from None
    runs = session.get_providers()
    if runs[0] != provider:
        why = f" ({_reason(said)})" if said else ""
        raise BackendError(
            f"ONNX Runtime cannot use {provider} here, it would run {where} with {runs[0]}{why}; check the NVIDIA "
            "driver, CUDA and cuDNN, or use --backend onnxruntime."
        )
    return session


def _reason(lines: list[str]) -> str:
    """The loader's own words in what ONNX Runtime printed, else the first line without its place in the source."""
    text = " ".join(lines)
    loader = re.search(r"with error: (.+?: cannot open shared object file)", text)
    return loader[1] if loader else text.rpartition("] ")[2].strip()[:160]


class OnnxRuntimeGpuEncoder:
    """Runs an ONNX encoder with a GPU provider; `provider` is the one the session reports."""

    def __init__(self, model: bytes, where: str, provider: str = CUDA) -> None:
        self._where = where
        self._session = open_gpu_session(model, where, provider, {})
        self.provider: str = self._session.get_providers()[0]
        self.name = f"onnxruntime-{self.provider.removesuffix('ExecutionProvider').lower()}"
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise BundleError(f"{where} is not an encoder; export the checkpoint again.")
        self._input = inputs[0].name

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        check_input(x)
        return channels_last(encode(self._session, self._input, x, self._where))
