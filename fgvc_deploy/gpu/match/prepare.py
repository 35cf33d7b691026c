"""From an encoder's planes to what matching reads: unit features in a place of an arena, pooled too where needed."""

from __future__ import annotations

from fgvc_deploy.gpu.launches import plans
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.stream.arena import DeviceFeatures, FeatureArena
from fgvc_deploy.gpu.stream.session import GpuSession


def new_arena(
    session: GpuSession, kernels: TrackingKernels, hw: tuple[int, int], channels: int, places: int
) -> FeatureArena:
    """An arena for features of these kernels.  Use it inside `session.working()`."""
    scale = kernels.coarse.scale if kernels.coarse else None
    return FeatureArena(session, hw, channels, kernels.feature_kind, places, scale)


def store_features(
    session: GpuSession, kernels: TrackingKernels, arena: FeatureArena, address: int, kind: str, channels: int
) -> DeviceFeatures:
    """Enqueue what reads planes [channels, H*W] of type `kind` at `address`; inside `session.working()`."""
    features = arena.claim()
    types = {"features": f"*{kind}", "out": f"*{kernels.feature_kind}"}
    normaliser = session.kernels.get("normalise", types=types, C=channels)
    pixels = arena.hw[0] * arena.hw[1]
    launches = [plans.normalise(normaliser, features=address, pixels=pixels, out=features.address)]
    if kernels.coarse is not None:
        pool, out = kernels.coarse.pool, features.coarse_address
        launches.append(plans.pool_cells(pool, features=features.address, hw=arena.hw, out=out))
    session.steps.run(tuple(launches))
    return features
