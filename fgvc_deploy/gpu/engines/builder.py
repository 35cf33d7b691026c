"""From an ONNX file to an engine: network, profile of sizes, target chips, timing cache."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvc_deploy.bundle.engine_key import Profile
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.engines.api import Runtime, collecting_logger, load, network_flags, set_precision
from fgvc_deploy.gpu.engines.cache import write_whole


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build.

    `chip` (sm_86): what TensorRT-RTX builds for; TensorRT builds for the GPU that is there and takes None.
    `timing_cache`: a file that keeps measured times of layers between builds, for TensorRT only.
    """

    runtime: Runtime
    precision: str
    profile: Profile
    chip: str | None = None
    timing_cache: Path | None = None


def build_engine(content: bytes, plan: Plan) -> bytes:
    """The serialised engine of an ONNX file with one input [N, 3, H, W]; N is 1.

    Raises `BackendError`: no such package, a chip it does not know, or a network that it cannot build.
    """
    trt = load(plan.runtime)
    logger, errors = collecting_logger(trt)
    builder = trt.Builder(logger)
    if builder is None:
        raise _failed(plan, errors)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        raise _failed(plan, [str(parser.get_error(i)) for i in range(parser.num_errors)] + errors)
    config = builder.create_builder_config()
    set_precision(trt, config, plan.precision)
    _target(trt, config, plan)
    _add_profile(builder, network, config, plan.profile)
    cache = _timing_cache(config, plan)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise _failed(plan, errors)
    if cache is not None and plan.timing_cache is not None:
        # Where the folder cannot be written, the next build measures again.
        with suppress(OSError):
            write_whole(plan.timing_cache, bytes(memoryview(config.get_timing_cache().serialize())))
    return bytes(memoryview(engine))


def version(runtime: Runtime) -> str:
    """The package's version."""
    return str(load(runtime).__version__)


def _target(trt: Any, config: Any, plan: Plan) -> None:
    if plan.chip is None:
        return
    known = getattr(trt, "ComputeCapability", None)
    wanted = plan.chip.upper().replace("_", "")
    if not hasattr(known, wanted) or not hasattr(config, "set_compute_capability"):
        raise BackendError(
            f"{trt.__name__} {trt.__version__} cannot build for {plan.chip} without that GPU; "
            "build there with `--target tensorrt`, or choose another chip."
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(known, wanted), 0)


def _add_profile(builder: Any, network: Any, config: Any, sizes: Profile) -> None:
    profile = builder.create_optimization_profile()
    shapes = [(1, 3, *hw) for hw in (sizes.smallest, sizes.usual, sizes.largest)]
    profile.set_shape(network.get_input(0).name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise BackendError(f"TensorRT does not take the range of sizes {sizes}; check that it grows.")


def _timing_cache(config: Any, plan: Plan) -> Any:
    """Attach the cache file's content; a file that does not fit this GPU or version starts an empty cache."""
    if plan.timing_cache is None or not hasattr(config, "create_timing_cache"):
        return None
    stored = plan.timing_cache.read_bytes() if plan.timing_cache.is_file() else b""
    cache = config.create_timing_cache(stored)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _failed(plan: Plan, errors: list[str]) -> BackendError:
    reason = errors[0].strip().splitlines()[0].rstrip(".") if errors else "it gave no reason"
    what = f"for {plan.chip}" if plan.chip else "for the GPU here"
    return BackendError(
        f"{plan.runtime} could not build the {plan.precision} encoder {what} ({reason}); "
        "build with another version of it, or run the ONNX file."
    )
