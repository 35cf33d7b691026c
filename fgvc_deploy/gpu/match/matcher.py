"""The matching kernels behind the backend protocol: host arrays in, host arrays out.

Tracking does not come through here (`propagator.py` keeps everything on the device); parity tests and benchmarks do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.match.matching import matching_of
from fgvc_deploy.gpu.match.prepare import new_arena, store_features
from fgvc_deploy.gpu.stream.arena import DeviceFeatures, FeatureArena
from fgvc_deploy.gpu.stream.results import Results
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Download
from fgvc_deploy.gpu.stream.tables import DeviceTables
from fgvc_deploy.gpu.stream.upload import Uploader
from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array, Matches, Window
from fgvc_deploy.propagation.features import check_request, unit_features


class GpuMatcher:
    """Top-k on the GPU in the kernels' feature type: exact, or coarse to fine where that is the bundle's mode.

    k and the window's shape are compiled in; in coarse-to-fine mode the window is checked but not used.  Scores lie
    on a grid of 2^-21, and are those of features rounded to that type.
    """

    def __init__(self, session: GpuSession, kernels: TrackingKernels) -> None:
        self.name = "coarse_to_fine (gpu)" if kernels.coarse else "gpu"
        self._session = session
        self._kernels = kernels
        self._tables: DeviceTables | None = None
        self._results = Results(session)

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C]; they are uploaded by `match`."""
        return unit_features(features)

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """Top-k over all key frames jointly; every query is computed, whatever `active` says."""
        check_request(query, keys, window, topk)
        size = 4 * query.hw[0] * query.hw[1] * topk
        with self._session.working():
            arena = new_arena(self._session, self._kernels, query.hw, query.unit.shape[1], len(keys) + 1)
            uploader = Uploader(self._session, (query.unit.shape[1], query.unit.shape[0]))
            if self._tables is None:
                self._tables = DeviceTables(self._session)
            own, *others = [self._place(arena, uploader, frame) for frame in (query, *keys)]
            matching = matching_of(self._session, self._kernels, self._tables, window, query.hw)
            matching.reserve(1, len(keys))
            launches = matching.scores(own, [frame.slot for frame in others])
            host = self._results.host(2 * size)
            downloads = (Download(host, matching.positions, size), Download(host + size, matching.weights, size))
            self._results.run((*launches, *downloads))
            found = self._results.wait()
            uploader.close()
        positions, scores = found[:size].view(np.int32), found[size : 2 * size].view(np.float32)
        return Matches(scores.reshape(-1, topk).copy(), positions.reshape(-1, topk).copy())

    def _place(self, arena: FeatureArena, uploader: Uploader, frame: FeatureMap) -> DeviceFeatures:
        address = uploader.upload(np.ascontiguousarray(frame.unit.T))
        return store_features(self._session, self._kernels, arena, address, "fp32", frame.unit.shape[1])
