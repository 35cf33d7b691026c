"""What of a bundle would run on a GPU, here and elsewhere; and its encoders for a propagation on the CPU."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders.onnxruntime_gpu import OnnxRuntimeGpuEncoder, create, obstacle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu import probe
from fgvc_deploy.gpu.cubins.chips import NAMES
from fgvc_deploy.gpu.cubins.images import cubin_chips
from fgvc_deploy.gpu.engines.api import MENDS, MODULES, Runtime, runtime_versions
from fgvc_deploy.gpu.engines.choice import EngineSearch
from fgvc_deploy.gpu.engines.files import Here, engine_files
from fgvc_deploy.gpu.names import ENCODERS, ENGINES, PROPAGATION, PROVIDERS


class State(NamedTuple):
    """Whether something can run here: `reason` is None, or one sentence."""

    kind: str
    name: str
    reason: str | None


def states(bundle: Bundle | None) -> list[State]:
    """Every GPU backend, judged by what is installed, by the GPU, and by what the bundle holds."""
    return [
        *(State("encoder", name, _encoder_obstacle(name, bundle)) for name in ENCODERS),
        State("propagation", PROPAGATION, probe.obstacle(bundle)),
    ]


def host_encoder(bundle: Bundle, name: str, precision: str) -> OnnxRuntimeGpuEncoder:
    """An encoder of this table for a propagation on the CPU; BackendError for engines, which stay on the GPU."""
    if name not in PROVIDERS:
        raise BackendError(
            f"{name} keeps features on the GPU, so it runs with the GPU's propagation: use --backend {name}+gpu."
        )
    return create(bundle, precision=precision, provider=PROVIDERS[name])


def bundle_notes(bundle: Bundle) -> list[str]:
    """What the GPU parts of a bundle are for, and where they would run: one line for each engine, one for cubins."""
    notes = []
    chips = cubin_chips(bundle)
    if chips:
        notes.append("GPU kernels for " + ", ".join(f"{chip} ({NAMES.get(chip, 'unknown')})" for chip in chips))
    for engine in engine_files(bundle):
        key, low, high = engine.key, engine.key.profile.smallest, engine.key.profile.largest
        where = " on ".join(part for part in (key.chip, key.gpu) if part)
        notes.append(
            f"{engine.artefact.path}: {key.precision} encoder for {where} with {MODULES[key.runtime]} "
            f"{key.runtime_version}, frames from {low[1]}x{low[0]} to {high[1]}x{high[0]}"
        )
    return notes


def _encoder_obstacle(name: str, bundle: Bundle | None) -> str | None:
    for runtime in ENGINES:
        if name == runtime:
            return _engine_obstacle(runtime, bundle)
    return obstacle(PROVIDERS[name])


def _engine_obstacle(runtime: Runtime, bundle: Bundle | None) -> str | None:
    """As far as it can be known without loading or building an engine."""
    if importlib.util.find_spec(MODULES[runtime]) is None:
        return f"the package {MODULES[runtime]} is not installed; run `{MENDS[runtime]}`."
    if bundle is None:
        return "its engines lie in a bundle, and none is given."
    try:
        search = EngineSearch(bundle, runtime, Here(probe.device(), runtime_versions()))
        return search.obstacle_to_building() if search.ready() is None else None
    except (BackendError, BundleError) as error:
        return str(error)
