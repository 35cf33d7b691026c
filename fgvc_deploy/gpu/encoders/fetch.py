"""A device encoder behind the host's protocol: features come back.  For parity checks; tracking never does this."""

from __future__ import annotations

import numpy as np

from fgvc_deploy.encoders.base import Float32Array
from fgvc_deploy.gpu.encoders.base import DeviceEncoder
from fgvc_deploy.gpu.stream.results import Results
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Download
from fgvc_deploy.gpu.stream.upload import Uploader

_TYPES = {"fp16": np.float16, "fp32": np.float32}


class FetchingEncoder:
    """See `EncoderBackend`."""

    def __init__(self, session: GpuSession, encoder: DeviceEncoder) -> None:
        self.name = encoder.name
        self._session = session
        self._encoder = encoder

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        upload = self._encoder.prepare(x)
        with self._session.working():
            uploader, results = Uploader(self._session, upload.shape), Results(self._session)
            planes = self._encoder.enqueue(uploader.upload(upload), upload.shape)
            dtype = np.dtype(_TYPES[planes.kind])
            size = dtype.itemsize * planes.channels * planes.hw[0] * planes.hw[1]
            host = results.host(size)
            results.run((Download(host, planes.address, size),))
            values = results.wait()[:size].view(dtype).reshape(planes.channels, *planes.hw)
            features: Float32Array = np.ascontiguousarray(values.transpose(1, 2, 0), np.float32)
            uploader.close()
            results.close()
        return features
