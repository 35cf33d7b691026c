"""A `FeatureMap` whose features are on the device, and come to the host only when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable

from fgvc_deploy.gpu.stream.arena import DeviceFeatures
from fgvc_deploy.propagation.base import FeatureMap, Float32Array


class DeviceFeatureMap(FeatureMap):
    """`packed` are the `DeviceFeatures`; `unit` fetches them, for benchmarks and checks.  Tracking never does."""

    __slots__ = ("_fetch",)
    _fetch: Callable[[DeviceFeatures], Float32Array]

    def __init__(
        self, hw: tuple[int, int], packed: DeviceFeatures, fetch: Callable[[DeviceFeatures], Float32Array]
    ) -> None:
        # The base is frozen, and its own __init__ would want an array.
        for name, value in (("hw", hw), ("packed", packed), ("_fetch", fetch)):
            object.__setattr__(self, name, value)

    @property
    def unit(self) -> Float32Array:
        """Unit features float32 [H*W, C] as the kernels read them, rounded to their type."""
        return self._fetch(self.packed)
