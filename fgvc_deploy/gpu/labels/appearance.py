"""The evidence of visibility on the device: features and labels stay there, a similarity and a mass come back.

The counterpart of `sample_features` and of the sums in `trackers/visibility.py`, which judges what is found here.
"""

from __future__ import annotations

import numpy as np

from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.launches import readout_plans as plans
from fgvc_deploy.gpu.stream.arena import DeviceFeatures
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Launch
from fgvc_deploy.propagation.base import BoolArray, Float32Array
from fgvc_deploy.trackers.visibility import Appearance


class DevicePoints:
    """What the device remembers of a group's points, and what it said of them last.

    `last` fp32 [P, 2]: where they were last seen, in network pixels.  `looks` fp32 [P, C]: unit features on their
    query frame.  `newest` is the answer of the newest frame: `features` [P, 1] are its features along those, 1 on the
    query frame itself, so that comparing two appearances gives the cosine as it does on the CPU.
    """

    def __init__(self, session: GpuSession, xy: Float32Array, mass: Float32Array, channels: int) -> None:
        self._session = session
        self.newest = Appearance(np.ones((len(xy), 1), np.float32), mass)
        self.last = _upload(session, xy, "places of points")
        self.looks = session.pool.take(4 * len(xy) * channels, "looks of points")
        self._channels = channels

    def keep(self, rows: BoolArray) -> None:
        """Drop the points whose entry is False.  Rare, so what is remembered makes a round trip through the host."""
        with self._session.working():
            remembered = []
            for buffer, width in ((self.last, 2), (self.looks, self._channels)):
                kept = _download(self._session, buffer, (len(rows), width))[rows]
                remembered.append(_upload(self._session, kept, "points"))
                buffer.release()
        self.last, self.looks = remembered
        self.newest = self.newest.keep(rows)


class Appearances:
    """Launches that gather the evidence.  Use it inside `session.working()`.

    Raises BundleError when the bundle lacks the kernels.
    """

    def __init__(self, session: GpuSession, stride: int, channels: int) -> None:
        self._session = session
        self._stride = stride
        self._channels = channels
        self._mass = session.kernels.get("label_mass")
        self._kernel = session.kernels.get("appearance", C=channels)
        self._partials: DeviceBuffer | None = None
        self._unused = session.pool.take(4, "an answer nobody reads")

    def meet(self, features: DeviceFeatures, xy: Float32Array, mass: Float32Array) -> DevicePoints:
        """Remember how points look on their query frame: xy [P, 2] in feature pixels, label sums `mass` [P]."""
        places = np.ascontiguousarray(xy * self._stride, np.float32)
        points = DevicePoints(self._session, places, mass, self._channels)
        size = max(4 * len(places), 1)
        if self._unused.size < size:
            self._unused = self._session.pool.take(size, "an answer nobody reads")
        launch = self._launch(
            features, len(places), points, xy=points.last.address, similarity=0, mass=self._unused.address, first=True
        )
        self._session.steps.run((launch,))
        return points

    def launches(
        self, features: DeviceFeatures, maps: plans.DeviceMaps, points: DevicePoints, xy: int, target: int
    ) -> tuple[Launch, ...]:
        """After the read-out of a group's maps to `xy`: similarity fp32 [maps] to `target`, and mass behind it."""
        parts = plans.mass_parts(maps, self._mass)
        size = 4 * parts * maps.maps
        if self._partials is None or self._partials.size < size:
            self._partials = self._session.pool.take(size, "sums of label maps")
        judged = self._launch(
            features,
            maps.used,
            points,
            xy=xy,
            similarity=target,
            mass=target + 4 * maps.maps,
            partials=(self._partials.address, maps.maps, parts),
        )
        return plans.label_mass(self._mass, maps, self._partials.address), judged

    def _launch(
        self,
        features: DeviceFeatures,
        count: int,
        points: DevicePoints,
        *,
        xy: int,
        similarity: int,
        mass: int,
        partials: tuple[int, int, int] = (0, 0, 0),
        first: bool = False,
    ) -> Launch:
        return plans.appearance(
            self._kernel,
            features=features.address,
            hw=features.arena.hw,
            stride=self._stride,
            count=count,
            partials=partials,
            xy=xy,
            last=points.last.address,
            looks=points.looks.address,
            similarity=similarity,
            mass=mass,
            first=first,
        )


def _upload(session: GpuSession, values: Float32Array, what: str) -> DeviceBuffer:
    """Values in device memory of their own; returns when they are there."""
    buffer = session.pool.take(values.nbytes, what)
    pinned = session.pinned(values.shape, np.float32, what)
    pinned.array[...] = values
    session.driver.upload(buffer.address, pinned.address, values.nbytes, session.stream)
    session.driver.synchronise(session.stream, f"wait for {what} to reach the GPU")
    session.unpin(pinned)
    return buffer


def _download(session: GpuSession, buffer: DeviceBuffer, shape: tuple[int, int]) -> Float32Array:
    pinned = session.pinned(shape, np.float32, "points")
    session.driver.download(pinned.address, buffer.address, pinned.bytes, session.stream)
    session.driver.synchronise(session.stream, "fetch what is known of points")
    values: Float32Array = pinned.array.copy()
    session.unpin(pinned)
    return values
