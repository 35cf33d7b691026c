"""CUDA error codes as sentences: what went wrong, with the code for a report, and what to do.  No CUDA calls."""

from __future__ import annotations

from typing import NamedTuple

from fgvc_deploy.errors import BackendError

RETRY_CPU = "use --backend auto, which runs on the CPU"


class Fault(NamedTuple):
    """What a code means to the person at the keyboard, and what they can do."""

    what: str
    mend: str


class CudaError(BackendError):
    """A call of the CUDA driver failed; `code` is its CUresult."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def lost(self) -> bool:
        """Whether every later call of this process will fail too."""
        return self.code in _LOST

    def __reduce__(self) -> tuple[type[CudaError], tuple[str, int]]:
        return type(self), (str(self), self.code)


_RESTART = "restart the program, and if it comes back, report it with the output of `fgvc-deploy doctor --json`"
_UPDATE = "update the NVIDIA driver"
_DRIVER_STATE = "check `nvidia-smi` (Jetson: `tegrastats`) and reboot if that fails too"

# After one of these the driver refuses everything until the process ends.
_LOST = frozenset({214, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719})
FAULTS: dict[int, Fault] = {
    1: Fault("an argument was refused", _RESTART),
    2: Fault("the GPU's memory is exhausted", "choose a smaller --size, fewer points, or close other programs"),
    3: Fault("the driver was not started", _RESTART),
    4: Fault("the driver is shutting down", _RESTART),
    34: Fault("the CUDA library found is only a stub for linking", "install the NVIDIA driver itself"),
    36: Fault("the driver is too old for this call", _UPDATE),
    46: Fault("the GPU is in use by another program in exclusive mode", "close it, or choose another GPU"),
    100: Fault("no GPU was found", f"check CUDA_VISIBLE_DEVICES and `nvidia-smi`, or {RETRY_CPU}"),
    101: Fault("there is no GPU of that number", "check CUDA_VISIBLE_DEVICES and `nvidia-smi`"),
    200: Fault(
        "the kernel is not machine code for this driver", "export the bundle again, or update the NVIDIA driver"
    ),
    201: Fault("the GPU context is gone", _RESTART),
    209: Fault("the kernel was compiled for another chip", "export the bundle with `--target cubin:` of this chip"),
    214: Fault("the GPU's memory reported an error that it could not correct", "reset or replace the GPU"),
    218: Fault("the kernel cannot be read", "copy the bundle again"),
    222: Fault("the kernel was compiled by a newer CUDA than the driver knows", _UPDATE),
    304: Fault("the operating system refused", _DRIVER_STATE),
    400: Fault("something was used after it had been freed", _RESTART),
    500: Fault("the kernel is not in the file that should hold it", "copy the bundle again, or export it again"),
    700: Fault("a kernel touched memory that is not its own", _RESTART),
    701: Fault("a kernel needs more registers or shared memory than the chip has", "export for this chip"),
    702: Fault("a kernel took longer than the display driver allows", "use a GPU without a display"),
    716: Fault("a kernel read from an address that is not aligned", _RESTART),
    719: Fault("a kernel stopped", _RESTART),
    801: Fault("this GPU or driver does not support what was asked", _UPDATE),
    802: Fault("the system is not ready", "check the fabric manager service (nvidia-fabricmanager)"),
    803: Fault("the driver and its libraries are of different versions", "reboot, or reinstall the NVIDIA driver"),
    804: Fault("the compatibility libraries do not fit this GPU", "remove cuda-compat, or update the NVIDIA driver"),
    999: Fault("it does not say why", _DRIVER_STATE),
}
_UNKNOWN = Fault("it says nothing more", _RESTART)


def cuda_error(code: int, name: str, doing: str, detail: str = "") -> CudaError:
    """The error for a CUresult: `name` is its symbol, `doing` what was attempted ("load the kernel local_topk")."""
    fault = FAULTS.get(code, Fault(detail, _UNKNOWN.mend) if detail else _UNKNOWN)
    return CudaError(f"CUDA could not {doing}: {fault.what} ({name}, code {code}); {fault.mend}.", code)
