"""Putting a GPU engine together for a bundle: driver, kernels, encoder.  `Model` comes here for `--backend gpu`."""

from __future__ import annotations

from contextlib import suppress

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.encoders import select as encoders
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.cubins.images import cubin_chips
from fgvc_deploy.gpu.device.cuda_driver import open_driver
from fgvc_deploy.gpu.device.driver import Driver
from fgvc_deploy.gpu.encoders.base import DeviceEncoder, HostEncoder
from fgvc_deploy.gpu.encoders.engine import EngineEncoder
from fgvc_deploy.gpu.encoders.fetch import FetchingEncoder
from fgvc_deploy.gpu.encoders.onnx import OnnxDeviceEncoder
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.gpu.engines.api import Runtime, runtime_versions
from fgvc_deploy.gpu.engines.choice import EngineSearch, ReadyEngine
from fgvc_deploy.gpu.engines.files import Here
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.match.matcher import GpuMatcher
from fgvc_deploy.gpu.names import ENCODERS, ENGINES, PROVIDERS
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.settings import PropagationSettings


def create_engine(
    bundle: Bundle,
    settings: PropagationSettings,
    *,
    encoder: str = "auto",
    threads: int | None = None,
    driver: Driver | None = None,
) -> GpuEngine:
    """An engine on the first GPU (CUDA_VISIBLE_DEVICES says which), or on `driver`.

    `encoder`: `auto` takes the best that runs on the GPU.  Raises BackendError, one sentence: no cuda-python, no
    driver, no GPU, no kernels for it or for these settings, no encoder.
    """
    if not cubin_chips(bundle):
        raise BackendError(
            f"{bundle.path}: has no GPU kernels; export the checkpoint with `--target cubin:` of the chip, as "
            "cubin:sm_87, or use --backend auto."
        )
    session = GpuSession(open_driver() if driver is None else driver, bundle)
    try:
        with session.working():
            kernels = TrackingKernels.of(session.kernels, bundle.manifest.encoder, settings)
        device_encoder = _encoder(session, bundle, encoder, threads)
        return _engine(bundle, settings, session, kernels, device_encoder)
    except BaseException:
        session.close()
        raise


def _engine(
    bundle: Bundle,
    settings: PropagationSettings,
    session: GpuSession,
    kernels: TrackingKernels,
    device_encoder: DeviceEncoder,
) -> GpuEngine:
    manifest = bundle.manifest
    return GpuEngine(
        manifest.encoder,
        manifest.preprocess,
        settings,
        manifest.default_size,
        FetchingEncoder(session, device_encoder),
        GpuMatcher(session, kernels),
        # Preprocessing on the host overlaps with the GPU even on one core: most of a step is waiting.
        overlap=True,
        session=session,
        kernels=kernels,
        device_encoder=device_encoder,
    )


def _encoder(session: GpuSession, bundle: Bundle, name: str, threads: int | None) -> DeviceEncoder:
    if name != "auto":
        return _named(session, bundle, name, threads)
    # An engine that is there already before one that has to be built.
    for runtime in ENGINES:
        with suppress(BackendError, BundleError):
            if (engine := _search(session, bundle, runtime).ready()) is not None:
                return _engine_encoder(session, engine)
    reasons = []
    for candidate in ENCODERS:
        try:
            return _named(session, bundle, candidate, threads)
        except (BackendError, BundleError) as error:
            reasons.append(f"{candidate}: {error}")
    raise BackendError(
        "No encoder can run on the GPU here; encode on the CPU with --backend onnxruntime+gpu.  " + " ".join(reasons)
    )


def _named(session: GpuSession, bundle: Bundle, name: str, threads: int | None) -> DeviceEncoder:
    plain, _, precision = name.partition(":")
    for runtime in ENGINES:
        if plain == runtime:
            search = _search(session, bundle, runtime, precision)
            return _engine_encoder(session, search.ready() or search.built())
    if plain in PROVIDERS:
        return OnnxDeviceEncoder(session, bundle, PROVIDERS[plain], precision or "fp32")
    return HostEncoder(encoders.create(bundle, plain, threads=threads, precision=precision or "fp32"))


def _search(session: GpuSession, bundle: Bundle, runtime: Runtime, precision: str = "") -> EngineSearch:
    return EngineSearch(bundle, runtime, Here(session.driver.info, runtime_versions()), precision)


def _engine_encoder(session: GpuSession, engine: ReadyEngine) -> EngineEncoder:
    return EngineEncoder(session, engine, Here(session.driver.info, runtime_versions()))
