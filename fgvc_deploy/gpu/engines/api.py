"""The TensorRT packages: importing them, and what their versions do differently, told by features, never by number.

TensorRT 10 has builder flags for fp16 and int8, and strongly typed networks beside them; 11 has only the latter.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

from fgvc_deploy.errors import BackendError

Runtime = Literal["rtx", "tensorrt"]
MODULES: dict[Runtime, str] = {"rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
MENDS: dict[Runtime, str] = {
    "rtx": "pip install 'fgvc-deploy[rtx]'",
    "tensorrt": "pip install 'fgvc-deploy[tensorrt]'",
}


def load(runtime: Runtime) -> Any:
    """The package; `BackendError`, one sentence, when it is missing or cannot be loaded."""
    try:
        return importlib.import_module(MODULES[runtime])
    except ImportError as error:
        missing = error.name == MODULES[runtime]
        what = "is not installed" if missing else f"cannot be loaded here ({error})"
        raise BackendError(f"{MODULES[runtime]} {what}; run `{MENDS[runtime]}`.") from None
    except OSError as error:  # a shared library of it
        raise BackendError(f"{MODULES[runtime]} cannot be loaded here ({error}); run `{MENDS[runtime]}`.") from None


def runtime_versions() -> dict[Runtime, str]:
    """Versions of the runtimes that can be imported here."""
    versions = {}
    for runtime in MODULES:
        try:
            versions[runtime] = str(load(runtime).__version__)
        except BackendError:
            continue
    return versions


def strongly_typed(trt: Any) -> bool:
    """Whether the precision of each layer is what the file says."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") or not hasattr(trt.BuilderFlag, "FP16")


def network_flags(trt: Any) -> int:
    """Bits for `create_network`.

    STRONGLY_TYPED wherever it can be asked for: then fp32 islands and int8 layers are what the file says, on 10 as on
    11.  A version that has neither the flag nor its older rival is strongly typed by itself.
    """
    flags = trt.NetworkDefinitionCreationFlag
    if hasattr(flags, "STRONGLY_TYPED"):
        return 1 << int(flags.STRONGLY_TYPED)
    return 1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0


def set_precision(trt: Any, config: Any, precision: str) -> None:
    """Allow what the file asks for where networks are not strongly typed; never TF32 in the place of fp32."""
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    if strongly_typed(trt):
        return
    wanted = {"fp32": [], "fp16": ["FP16"], "int8": ["FP16", "INT8"]}[precision]
    for name in (*wanted, "OBEY_PRECISION_CONSTRAINTS"):
        config.set_flag(getattr(trt.BuilderFlag, name))


def collecting_logger(trt: Any) -> tuple[Any, list[str]]:
    """A logger, and the list it puts errors into; warnings and remarks are dropped."""
    errors: list[str] = []
    severities = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)

    def log(self: Any, severity: Any, message: str) -> None:
        if severity in severities:
            errors.append(message)

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)

    # Made here: the base class exists only once the package is imported.
    logger: Callable[[], Any] = type("CollectingLogger", (trt.ILogger,), {"__init__": start, "log": log})
    return logger(), errors
