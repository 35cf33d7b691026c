"""TensorRT and TensorRT-RTX engines on our stream and memory: the encoder's features never leave the device."""

from __future__ import annotations

from typing import Any

from fgvc_deploy.encoders.base import Float32Array, check_input
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.encoders.base import Planes
from fgvc_deploy.gpu.engines.api import MODULES, load
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.engines.choice import ReadyEngine
from fgvc_deploy.gpu.engines.files import Here
from fgvc_deploy.gpu.engines.jit import execution_context
from fgvc_deploy.gpu.stream.session import GpuSession

_KINDS = {"HALF": ("fp16", 2), "FLOAT": ("fp32", 4)}


class EngineEncoder:
    """Runs one engine.

    Raises BackendError when the runtime is missing or refuses the engine, BundleError when it is no encoder, and
    InputError for a frame outside its profile.
    """

    def __init__(
        self, session: GpuSession, engine: ReadyEngine, here: Here, cache: EngineCache | None = None
    ) -> None:
        self._session = session
        self._profile = engine.key.profile
        self._where = engine.where
        self.name = f"{engine.key.runtime}:{engine.key.precision}"
        cache = cache or EngineCache()
        trt = load(engine.key.runtime)
        with session.working():
            self._logger = trt.Logger(trt.Logger.ERROR)
            self._runtime = trt.Runtime(self._logger)
            # Without a usable driver this answers None instead of raising.
            self._engine = self._runtime.deserialize_cuda_engine(engine.content)
            self._context = (
                execution_context(session, self._engine, here.key_like(engine.key), cache)
                if self._engine is not None
                else None
            )
        if self._context is None:
            raise _refused(engine, cache)
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


def _refused(engine: ReadyEngine, cache: EngineCache) -> BackendError:
    """The error for an engine that its runtime does not load; one that was built here is not tried again."""
    module = MODULES[engine.key.runtime]
    if engine.cached:
        cache.forget("engine", engine.key)
        mend = "it has been removed, so start again to build it anew"
    else:
        mend = "export the checkpoint again with this version of it"
    return BackendError(f"{module} cannot load {engine.where} here; {mend}, or use --backend onnxruntime-cuda+gpu.")
