"""ONNX Runtime on the GPU: the encoder's features stay there, on our stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.base import Float32Array, check_input
from fgvc_deploy.encoders.onnxruntime_gpu import open_gpu_session
from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.encoders.base import Planes
from fgvc_deploy.gpu.names import CUDA
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.onnx_session import cannot_run


class OnnxDeviceEncoder:
    """An ONNX encoder with its input and output bound to device memory.

    Raises BackendError when ONNX Runtime cannot use the provider here, BundleError when the bundle has no ONNX file.
    """

    def __init__(self, session: GpuSession, bundle: Bundle, provider: str = CUDA, precision: str = "fp32") -> None:
        artefact = bundle.find(kind="encoder", target="onnx", precision=precision)
        self._session = session
        self._where = f"{bundle.path}: {artefact.path!r}"
        self._settings = bundle.manifest.encoder
        options = {"device_id": str(session.driver.info.ordinal), "user_compute_stream": str(session.stream)}
        with session.working():
            self._ort = open_gpu_session(bundle.read(artefact), self._where, provider, options)
        self.name = f"onnxruntime-{provider.removesuffix('ExecutionProvider').lower()}"
        self._input, self._output = self._ort.get_inputs()[0].name, self._ort.get_outputs()[0].name
        self._features: DeviceBuffer | None = None

    def prepare(self, image: Float32Array) -> Float32Array:
        """Nothing to do but to check."""
        check_input(image)
        return image

    def enqueue(self, address: int, shape: tuple[int, ...]) -> Planes:
        """See `DeviceEncoder.enqueue`."""
        stride, channels = self._settings.stride, self._settings.channels
        hw = -(-shape[2] // stride), -(-shape[3] // stride)
        size = 4 * channels * hw[0] * hw[1]
        if self._features is None or self._features.size < size:
            self._features = self._session.pool.take(size, "the encoder's output")
        binding: Any = self._ort.io_binding()
        ordinal = self._session.driver.info.ordinal
        binding.bind_input(self._input, "cuda", ordinal, np.float32, shape, address)
        out_shape = (1, channels, *hw)
        binding.bind_output(self._output, "cuda", ordinal, np.float32, out_shape, self._features.address)
        try:
            self._ort.run_with_iobinding(binding)
        except Exception as error:  # its exceptions share no base class
            raise cannot_run(self._where, shape[2:], error) from error
        return Planes(self._features.address, "fp32", channels, hw)
