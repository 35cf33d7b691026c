"""cuda-python's answers as values or sentences, and what a GPU says about itself.  The driver is `cuda_driver.py`."""

from __future__ import annotations

from typing import Any

from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.device.driver import DeviceInfo
from fgvc_deploy.gpu.device.faults import RETRY_CPU, CudaError, cuda_error

# CUDA_ERROR_UNKNOWN
UNKNOWN = 999
MISSING = "cuda-python is not installed; install it with `pip install 'fgvc-deploy[gpu]'`."
NO_DRIVER = (
    "No NVIDIA driver was found: libcuda cannot be loaded; install the NVIDIA driver (in a container, start it with "
    f"--gpus all), or {RETRY_CPU}."
)


def bindings() -> Any:
    """The module cuda.bindings.driver; BackendError when it is missing."""
    try:
        from cuda.bindings import driver
    except ImportError as error:
        absent = error.name in ("cuda", "cuda.bindings", None)
        raise BackendError(MISSING if absent else f"cuda-python cannot be imported here ({error}).") from None
    return driver


def value_of(cuda: Any, answer: tuple[Any, ...], doing: str) -> Any:
    """What follows the status in an answer of the bindings; raises CudaError unless it is success."""
    status, *values = answer
    if status != cuda.CUresult.CUDA_SUCCESS:
        named, name = cuda.cuGetErrorName(status)
        told, text = cuda.cuGetErrorString(status)
        known = named == cuda.CUresult.CUDA_SUCCESS and name
        detail = text.decode() if told == cuda.CUresult.CUDA_SUCCESS and text else ""
        raise cuda_error(int(status), name.decode() if known else "unknown error", doing, detail)
    return values[0] if len(values) == 1 else tuple(values)


def unknown_code(doing: str, error: ValueError) -> CudaError:
    """The error for a status that the bindings, older than the driver, have no name for: they raise ValueError."""
    return CudaError(
        f"CUDA could not {doing}: the driver is newer than cuda-python, which cannot tell what it said ({error}); "
        "run `pip install -U cuda-python`.",
        UNKNOWN,
    )


def describe(cuda: Any, device: Any, ordinal: int) -> DeviceInfo:
    """What the driver says about a device."""
    doing = "describe the GPU"

    def attribute(name: str) -> int:
        which = getattr(cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(value_of(cuda, cuda.cuDeviceGetAttribute(which, device), doing))

    name: bytes = value_of(cuda, cuda.cuDeviceGetName(128, device), doing)
    return DeviceInfo(
        ordinal,
        name.split(b"\0")[0].decode(errors="replace"),
        value_of(cuda, cuda.cuDeviceGetUuid(device), doing).bytes.hex(),
        (attribute("COMPUTE_CAPABILITY_MAJOR"), attribute("COMPUTE_CAPABILITY_MINOR")),
        int(value_of(cuda, cuda.cuDeviceTotalMem(device), doing)),
        attribute("MULTIPROCESSOR_COUNT"),
        attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
        int(value_of(cuda, cuda.cuDriverGetVersion(), doing)),
    )
