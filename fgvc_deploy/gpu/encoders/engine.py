"""TensorRT and TensorRT-RTX engines on our stream and memory: the encoder's features never leave the device."""

from __future__ import annotations

import importlib
from typing import Any

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import Float32Array, check_input
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_deploy.gpu.chips import chip_of
from fgvc_deploy.gpu.encoders.base import Planes
from fgvc_deploy.gpu.encoders.engine_files import EngineFile, Here, engine_files, mismatch
from fgvc_deploy.gpu.memory import DeviceBuffer
from fgvc_deploy.gpu.session import GpuSession

MODULES = {"rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
MENDS = {"rtx": "pip install 'fgvc-deploy[rtx]'", "tensorrt": "pip install 'fgvc-deploy[tensorrt]'"}
# Precisions that an engine may have without anybody asking for it, best first.
UNASKED = ("fp16", "fp32")
_KINDS = {"HALF": ("fp16", 2), "FLOAT": ("fp32", 4)}


def runtime_versions() -> dict[str, str]:
    """Versions of the runtimes that can be imported here."""
    versions = {}
    for runtime, module in MODULES.items():
        try:
            versions[runtime] = str(importlib.import_module(module).__version__)
        except (ImportError, OSError):
            continue
    return versions


def fitting_engine(bundle: Bundle, runtime: str, here: Here, precision: str = "") -> EngineFile:
    """The bundle's engine of a runtime that fits this machine, of a precision when one is asked for.

    Otherwise fp16 before fp32; int8 only when asked for.  Raises BackendError saying what mismatches.
    """
    wanted = (precision,) if precision else UNASKED
    engines = [e for e in engine_files(bundle) if e.key.runtime == runtime and e.key.precision in wanted]
    reasons = []
    for engine in sorted(engines, key=lambda e: wanted.index(e.key.precision)):
        reason = mismatch(engine.key, here)
        if reason is None:
            return engine
        reasons.append(f"{engine.artefact.path}: {reason}")
    raise BackendError(
        f"The bundle has no {' '.join((precision, runtime)).strip()} engine for this machine "
        f"({' | '.join(reasons) or 'it has none'}); export the checkpoint again with "
        f"`--target {target_of(runtime, here)}`."
    )


def target_of(runtime: str, here: Here) -> str:
    """The export target of an engine for this machine; TensorRT's has to be built on it."""
    if runtime == "tensorrt":
        return "tensorrt"
    return f"{runtime}:{chip_of(here.device.compute_capability) if here.device else 'sm_89'}"


class EngineEncoder:
    """Runs one engine.

    Raises BackendError when the runtime is missing or refuses the engine, BundleError when it is no encoder, and
    InputError for a frame outside its profile.
    """

    def __init__(self, session: GpuSession, bundle: Bundle, engine: EngineFile) -> None:
        self._session = session
        self._profile = engine.key.profile
        self._where = f"{bundle.path}: {engine.artefact.path!r}"
        self.name = f"{engine.key.runtime}:{engine.key.precision}"
        trt = _load(engine.key.runtime)
        with session.working():
            self._logger = trt.Logger(trt.Logger.ERROR)
            self._runtime = trt.Runtime(self._logger)
            # Without a usable driver this answers None instead of raising.
            self._engine = self._runtime.deserialize_cuda_engine(bundle.read(engine.artefact))
            self._context = self._engine.create_execution_context() if self._engine is not None else None
        if self._context is None:
            raise BackendError(
                f"{MODULES[engine.key.runtime]} cannot load {self._where} here; export the checkpoint again with "
                "this version of it, or use --backend onnxruntime-cuda+gpu."
            )
        self._input, self._output, kind = self._tensors(trt)
        self._kind, self._item = _KINDS[kind]
        self._features: DeviceBuffer | None = None

    def prepare(self, image: Float32Array) -> Float32Array:
        """Check that the engine takes this size."""
        check_input(image)
        if not self._profile.takes((image.shape[2], image.shape[3])):
            low, high = self._profile.smallest, self._profile.largest
            raise InputError(
                f"{self._where} takes frames from {low[1]}x{low[0]} to {high[1]}x{high[0]}, not "
                f"{image.shape[3]}x{image.shape[2]}; choose another --size, or export it with a wider range."
            )
        return image

    def enqueue(self, address: int, shape: tuple[int, ...]) -> Planes:
        """See `DeviceEncoder.enqueue`."""
        context: Any = self._context
        if not context.set_input_shape(self._input, shape):
            raise BackendError(f"{self._where} refused frames of {shape[3]}x{shape[2]}; choose another --size.")
        _, channels, height, width = tuple(context.get_tensor_shape(self._output))
        size = self._item * channels * height * width
        if self._features is None or self._features.size < size:
            self._features = self._session.pool.take(size, "the encoder's output")
        context.set_tensor_address(self._input, address)
        context.set_tensor_address(self._output, self._features.address)
        if not context.execute_async_v3(self._session.stream):
            raise BackendError(f"{self._where} could not be run; export the checkpoint again on this machine.")
        return Planes(self._features.address, self._kind, channels, (height, width))

    def _tensors(self, trt: Any) -> tuple[str, str, str]:
        """Names of input and output, and the output's type."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outputs = [n for n in names if n not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(f"{self._where} is not an encoder; export the checkpoint again.")
        if self._engine.get_tensor_dtype(inputs[0]) != trt.DataType.FLOAT:
            raise BundleError(f"{self._where} does not take float32 frames; export the checkpoint again.")
        kind = self._engine.get_tensor_dtype(outputs[0]).name
        if kind not in _KINDS:
            raise BundleError(f"{self._where} gives features of type {kind}; export the checkpoint again.")
        return inputs[0], outputs[0], kind


def _load(runtime: str) -> Any:
    try:
        return importlib.import_module(MODULES[runtime])
    except (ImportError, OSError) as error:
        what = "is not installed" if isinstance(error, ImportError) else f"cannot be loaded here ({error})"
        raise BackendError(f"{MODULES[runtime]} {what}; run `{MENDS[runtime]}`.") from None
