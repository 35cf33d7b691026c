"""`GpuEngine`: frames to features on the device, and the memory of each tracker there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.gpu.encoders.base import DeviceEncoder, Planes
from fgvc_deploy.gpu.feature_map import DeviceFeatureMap
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.match.prepare import new_arena, store_features
from fgvc_deploy.gpu.propagator import GpuPropagator
from fgvc_deploy.gpu.stream.arena import DeviceFeatures, FeatureArena
from fgvc_deploy.gpu.stream.results import Results
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Download
from fgvc_deploy.gpu.stream.upload import Uploader
from fgvc_deploy.propagation.base import FeatureMap, Float32Array
from fgvc_deploy.stages import StageTimer
from fgvc_deploy.trackers.propagator import Propagator

# Places beside the memory's: the frame being tracked, one encoded ahead of it, one whose step may still be waiting,
# a group's first frame, and a spare.
OTHERS = 5


@dataclass(slots=True)
class GpuEngine(Engine):
    """An `Engine` whose features never leave the device.  `device_encoder` is what `encoder` runs.

    Trackers of several threads may share it: what they enqueue runs one after the other.
    """

    session: GpuSession = field(kw_only=True)
    kernels: TrackingKernels = field(kw_only=True)
    device_encoder: DeviceEncoder = field(kw_only=True)
    _arenas: dict[tuple[int, int], FeatureArena] = field(default_factory=dict, init=False, repr=False)
    _uploaders: dict[tuple[int, ...], Uploader] = field(default_factory=dict, init=False, repr=False)

    def features(self, frame: NDArray[np.uint8], network_hw: tuple[int, int], timer: StageTimer) -> FeatureMap:
        """Features of one uint8 RGB frame [H, W, 3] on the device; returns when they are enqueued."""
        with timer.stage("preprocess"):
            image = self._preprocessor(frame, network_hw)
        with timer.stage("encode"):
            upload = self.device_encoder.prepare(image)
            with self.session.working():
                address = self._uploader(upload.shape).upload(upload)
                planes = self.device_encoder.enqueue(address, upload.shape)
                return self._normalise(planes)

    def propagator(self, *, duplicate_first: bool = False, active_tau: float = 0.0) -> Propagator:
        """A new memory for one tracker.  `active_tau` is ignored: looking for pixels to skip is not done here."""
        return GpuPropagator(
            self.matcher,
            self.propagation,
            self.session,
            self.kernels,
            self.encoder_settings.stride,
            duplicate_first=duplicate_first,
        )

    def _normalise(self, planes: Planes) -> FeatureMap:
        channels = self.encoder_settings.channels
        features = store_features(
            self.session, self.kernels, self._arena(planes.hw), planes.address, planes.kind, channels
        )
        return DeviceFeatureMap(planes.hw, features, self._fetch)

    def _fetch(self, features: DeviceFeatures) -> Float32Array:
        """Features of a frame on the host, float32 [H*W, C]; bf16 has no NumPy type and is widened by its bits."""
        kind, channels = self.kernels.feature_kind, self.encoder_settings.channels
        size = features.arena.frame_bytes
        with self.session.working():
            results = Results(self.session)
            host = results.host(size)
            results.run((Download(host, features.address, size),))
            raw = results.wait()[:size].copy()
            results.close()
        if kind == "bf16":
            wide: Float32Array = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            return wide.reshape(-1, channels)
        return raw.view({"fp16": np.float16, "fp32": np.float32}[kind]).astype(np.float32).reshape(-1, channels)

    def _arena(self, hw: tuple[int, int]) -> FeatureArena:
        if hw not in self._arenas:
            places = self.propagation.memory + OTHERS
            channels = self.encoder_settings.channels
            self._arenas[hw] = new_arena(self.session, self.kernels, hw, channels, places)
        return self._arenas[hw]

    def _uploader(self, shape: tuple[int, ...]) -> Uploader:
        if shape not in self._uploaders:
            self._uploaders[shape] = Uploader(self.session, shape)
        return self._uploaders[shape]
