"""Targets `rtx:sm_XX` and `tensorrt`: engines of the encoder, each with its key beside it.

No engine is run here: the ONNX file it is built from passes the parity gate, and the manifest says "not run" of the
engine itself.
"""

from __future__ import annotations

import hashlib

from fgvc_deploy.bundle import ParityNotRun, Payload
from fgvc_deploy.bundle.engine_key import EngineKey
from fgvc_deploy.gpu.engines.builder import Plan, build_engine, version
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.engines.files import Here
from fgvc_deploy.gpu.engines.profiles import profile_for
from fgvc_export.lowered import gpu_file
from fgvc_export.targets import Choice, Source, Tell

NOT_RUN = {"rtx": "no GPU", "tensorrt": "an export runs no engines"}
# What is to be measured where there is a GPU.
FIGURES = ("feature_cosine_min", "match_recall", "track_p95")


def payloads(choice: Choice, source: Source, tell: Tell) -> list[Payload]:
    """`engines/CHIP-RUNTIMEVERSION-PRECISION.engine` and its key as `.json`.

    Raises `BackendError` when the engine cannot be built, and for `tensorrt` when there is no GPU to build for.
    """
    content = gpu_file(source)
    key, plan = _key_and_plan(choice, source, hashlib.sha256(content).hexdigest())
    tell(f"building the {choice.precision} engine for {key.chip}", 0.5)
    engine = build_engine(content, plan)
    parity = tuple(ParityNotRun(figure=name, not_run=NOT_RUN[key.runtime]) for name in FIGURES)
    path = f"{choice.row.file_name[choice.precision]}/{key.stem}"
    return [
        Payload("engine", choice.row.runtime, f"{path}.engine", engine, choice.precision, parity),
        Payload("document", choice.row.runtime, f"{path}.json", key.to_json()),
    ]


def _key_and_plan(choice: Choice, source: Source, model_sha256: str) -> tuple[EngineKey, Plan]:
    profile = profile_for(source.default_size)
    if choice.row.name != "tensorrt":
        chip = choice.row.name.partition(":")[2]
        key = EngineKey(
            runtime="rtx",
            runtime_version=version("rtx"),
            chip=chip,
            precision=choice.precision,
            model_sha256=model_sha256,
            profile=profile,
        )
        return key, Plan("rtx", choice.precision, profile, chip)
    key = _key_of_the_gpu_here(choice.precision, model_sha256, source.default_size)
    return key, Plan("tensorrt", choice.precision, profile, timing_cache=EngineCache().timing_file(key))


def _key_of_the_gpu_here(precision: str, model_sha256: str, default_size: str) -> EngineKey:
    """An engine of TensorRT depends on everything; raises `BackendError` without a GPU."""
    from fgvc_deploy.gpu.device.cuda_driver import open_driver

    built_by = version("tensorrt")
    driver = open_driver()
    try:
        here = Here(driver.info, {"tensorrt": built_by})
    finally:
        driver.release()
    return here.key("tensorrt", precision, model_sha256, profile_for(default_size))
