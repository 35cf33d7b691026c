"""The MNN encoder backend: Winograd convolutions on the CPU.  The package is imported when the backend is made.

The PyPI wheel's x86 kernels are AVX2: where ONNX Runtime has AVX-512 to use, it may be the faster one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import Float32Array, check_input, named_with_precision
from fgvc_deploy.encoders.held_output import held_output
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.propagation.threads import worker_count
from fgvc_deploy.settings import EncoderSettings

MISSING = "MNN is not installed; install it with `pip install 'fgvc-deploy[cpu]'`."
# What MNN says whenever it is imported, and for each precision that is not its default.
CHATTER = ("The device supports:", "MNN use low precision", "MNN use lowBF precision")
PRECISIONS = {"fp32": "normal", "bf16": "Low_BF16"}
# WINOGRAD_MEMORY_LEVEL, which the Python package does not name.  At MNN's default of 3 it takes larger tiles, whose
# transforms lose three digits (ResNet-18: 1e-3 of the largest feature instead of 1e-6) without being faster.
WINOGRAD_HINT, SMALL_TILES = 3, 1


def create(bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> MnnEncoder:
    """The encoder of a bundle; errors as `MnnEncoder`, and `BundleError` when the bundle has no such file."""
    artefact = bundle.find(kind="encoder", target="mnn", precision=precision)
    where = f"{bundle.path}: {artefact.path!r}"
    encoder = MnnEncoder(
        bundle.read(artefact), bundle.manifest.encoder, where=where, threads=threads, precision=precision
    )
    return named_with_precision(encoder, precision)


class MnnEncoder:
    """Runs an MNN encoder; the same input gives the same bits for a given number of threads.

    `model` is the content of the file, `where` names it in errors; `threads` None takes the cores of this process.
    `precision` bf16 asks MNN for it, which computes in fp32 where it has no bf16 kernels.  Raises `BackendError` when
    MNN is missing or cannot load the model, `BundleError` when the model is not the encoder that `settings` describe.
    """

    name = "mnn"

    def __init__(
        self,
        model: bytes,
        settings: EncoderSettings,
        *,
        where: str = "the encoder",
        threads: int | None = None,
        precision: str = "fp32",
    ) -> None:
        self._where, self._stride, self._channels = where, settings.stride, settings.channels
        configuration = {
            "backend": "CPU",
            "numThread": worker_count(threads),
            "precision": PRECISIONS[precision],
        }
        self._mnn, self._net, self._session = _load(model, where, configuration)
        self._input = self._net.getSessionInput(self._session)
        self._size: tuple[int, int] | None = None

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        check_input(x)
        if self._size != x.shape[2:]:
            self._resize(x.shape)
        # MNN reuses the input's memory for later layers, so it must be filled before every run.
        self._input.copyFrom(self._host(x, self._mnn.Tensor_DimensionType_Caffe))
        code = self._net.runSession(self._session)
        if code != 0:
            raise BackendError(
                f"{self._where}: MNN stopped with code {code}; try a smaller --size or another backend."
            )
        output = self._net.getSessionOutput(self._session)
        _, channels, height, width = output.getShape()
        host = self._host(
            np.empty((1, height, width, channels), np.float32), self._mnn.Tensor_DimensionType_Tensorflow
        )
        output.copyToHostTensor(host)
        # The array is a view of memory that ends with `host`.
        return np.array(host.getNumpyData()[0])

    def _resize(self, shape: tuple[int, ...]) -> None:
        self._size = None
        self._net.resizeTensor(self._input, shape)
        self._net.resizeSession(self._session)
        found = tuple(self._net.getSessionOutput(self._session).getShape())
        expected = (1, self._channels, *(-(-side // self._stride) for side in shape[2:]))
        if found != expected:
            raise BundleError(
                f"{self._where} gives features of shape {found} where the manifest means {expected}; "
                "export the checkpoint again."
            )
        self._size = (shape[2], shape[3])

    def _host(self, array: Float32Array, layout: Any) -> Any:
        """An MNN tensor with a copy of an array."""
        return self._mnn.Tensor(array.shape, self._mnn.Halide_Type_Float, np.ascontiguousarray(array), layout)


def _load(model: bytes, where: str, configuration: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The MNN module, the network and its session; MNN reads models from files only."""
    held: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="fgvc-mnn-") as folder, held_output() as held:
            path = Path(folder) / "encoder.mnn"
            path.write_bytes(model)
            import MNN

            net = MNN.Interpreter(str(path))
            net.setSessionHint(WINOGRAD_HINT, SMALL_TILES)
            session = net.createSession(configuration)
    except ImportError as error:
        raise BackendError(MISSING if error.name == "MNN" else f"MNN cannot be imported here ({error}).") from None
    except Exception as error:  # MNN raises nothing but Exception, and prints the reason
        reason = next((line for line in held if not line.startswith(CHATTER)), str(error)).rstrip(".")
        raise BackendError(f"{where} cannot be loaded by MNN ({reason}); export the checkpoint again.") from None
    for line in held:
        if not line.startswith(CHATTER):
            print(line, file=sys.stderr)
    return MNN, net, session
