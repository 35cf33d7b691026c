"""Opening an ONNX Runtime session the way the backends here want it, and running an encoder in one.

What the graph means is the backend's business.  The package is imported when a session is opened: the runtime works
without it when nothing needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import BackendError

MISSING = "ONNX Runtime is not installed; install it with `pip install 'fgvc-deploy[cpu]'`."


def open_session(model: bytes, where: str, threads: int | None) -> Any:
    """A session on the CPU that gives the same bits for the same input and number of threads.

    `where` names the model in errors; `threads` None leaves the number to ONNX Runtime (the physical cores).  Raises
    `BackendError` when ONNX Runtime is missing or cannot load the model.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise BackendError(MISSING) from None
    options = ort.SessionOptions()
    options.use_deterministic_compute = True
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    # Between operators a worker that waits awake saves a third of an EfficientNet's time and 5 % of a Winograd
    # ResNet's (two threads, a quiet machine); between two calls the cores belong to others.
    options.add_session_config_entry("session.force_spinning_stop", "1")
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


def encode(session: Any, name: str, frames: NDArray[np.float32], where: str) -> NDArray[np.float32]:
    """The one output for `frames` [N, 3, H, W] at the input `name`; BackendError, one sentence, when it fails."""
    try:
        (features,) = session.run(None, {name: frames})
    except Exception as error:  # its exceptions share no base class
        raise cannot_run(where, frames.shape[2:], error) from error
    return np.asarray(features)


def cannot_run(where: str, hw: tuple[int, ...], error: Exception) -> BackendError:
    """What to raise when ONNX Runtime fails on an encoder at a network size."""
    return BackendError(
        f"ONNX Runtime cannot run {where} on a network size of {hw[1]}x{hw[0]} ({str(error).splitlines()[0]}); "
        "choose a smaller --size if memory is short."
    )
