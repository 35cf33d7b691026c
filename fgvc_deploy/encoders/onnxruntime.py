"""The portable encoder backend: ONNX Runtime on the CPU.  The package is imported when the backend is made."""

from __future__ import annotations

from typing import Any

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import Float32Array, channels_last, check_input
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.settings import EncoderSettings

MISSING = "ONNX Runtime is not installed; install it with `pip install 'fgvc-deploy[cpu]'`."


def create(bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> OnnxRuntimeEncoder:
    """The encoder of a bundle; errors as `OnnxRuntimeEncoder`, and `BundleError` when the bundle has no such file."""
    artefact = bundle.find(kind="encoder", target="onnx", precision=precision)
    where = f"{bundle.path}: {artefact.path!r}"
    return OnnxRuntimeEncoder(bundle.read(artefact), bundle.manifest.encoder, where=where, threads=threads)


class OnnxRuntimeEncoder:
    """Runs an ONNX encoder; the same input gives the same bits for a given number of threads.

    `model` is the content of the file, `where` names it in errors.  `threads` bounds the threads inside an operator;
    None leaves it to ONNX Runtime (the physical cores).  Raises `BackendError` when ONNX Runtime is missing or cannot
    load the model, `BundleError` when the model is not the encoder that `settings` describe.
    """

    name = "onnxruntime"

    def __init__(
        self, model: bytes, settings: EncoderSettings, *, where: str = "the encoder", threads: int | None = None
    ) -> None:
        self._where = where
        self._stride = settings.stride
        self._session = _session(model, where, threads)
        self._input = _check_interface(self._session, settings.channels, where)

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        check_input(x)
        (features,) = self._session.run(None, {self._input: x})
        expected = tuple(-(-side // self._stride) for side in x.shape[2:])
        if features.shape[2:] != expected:
            raise BundleError(
                f"{self._where} gives features of {features.shape[2:]} where stride {self._stride} means {expected}; "
                "export the checkpoint again."
            )
        return channels_last(features)


def _session(model: bytes, where: str, threads: int | None) -> Any:
    try:
        import onnxruntime as ort
    except ImportError:
        raise BackendError(MISSING) from None
    options = ort.SessionOptions()
    options.use_deterministic_compute = True
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    # Idle workers must sleep: between two frames the cores belong to the propagation.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Below "error" it writes to stderr, under our progress bar.
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class
        # Its first line reads "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : what is wrong."
        reason = str(error).splitlines()[0].rpartition(" : ")[2].removesuffix(".")
        raise BackendError(
            f"{where} cannot be loaded by ONNX Runtime {ort.__version__} ({reason}); "
            "update it with `pip install -U onnxruntime`, or export the checkpoint again."
        ) from None


def _check_interface(session: Any, channels: int, where: str) -> str:
    """Name of the one input, after checking that the graph maps [N, 3, H, W] to [N, channels, h, w]."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    fits = len(inputs) == len(outputs) == 1 and len(inputs[0].shape) == len(outputs[0].shape) == 4
    if not fits or inputs[0].shape[1] != 3 or outputs[0].shape[1] != channels:
        raise BundleError(
            f"{where} is not an encoder of 3 colours to {channels} channels as the manifest says; "
            "export the checkpoint again."
        )
    return str(inputs[0].name)
