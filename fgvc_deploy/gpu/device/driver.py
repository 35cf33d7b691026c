"""The few things this run time asks of the CUDA driver, as a protocol: `cuda_driver.py` does them on a GPU.

Handles are plain integers, so that tests can put an emulation behind the same names (tests/support/gpu_emulator.py).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol


class DeviceInfo(NamedTuple):
    """The GPU in use.  `shared_per_block` is the largest shared memory a block may opt into, in bytes."""

    ordinal: int
    name: str
    uuid: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    multiprocessors: int
    shared_per_block: int
    driver_version: int

    @property
    def cuda(self) -> str:
        """Newest CUDA version that the driver supports, as `13.2`."""
        return f"{self.driver_version // 1000}.{self.driver_version % 1000 // 10}"


class Grid(NamedTuple):
    """Blocks of a launch along its three axes."""

    x: int
    y: int = 1
    z: int = 1


class Driver(Protocol):
    """One GPU and its primary context.  Every method raises `CudaError`; `doing` in them ends up in its sentence."""

    info: DeviceInfo

    def current(self) -> AbstractContextManager[None]:
        """Make the context current in the calling thread; every other call needs it."""
        ...

    def release(self) -> None:
        """Give the context back; the handles made in it must have been freed."""
        ...

    def load_module(self, image: bytes, doing: str) -> int:
        """Load a cubin."""
        ...

    def unload_module(self, module: int) -> None:
        """Free what `load_module` returned."""
        ...

    def function(self, module: int, symbol: str, doing: str) -> int:
        """A kernel of a module; it lives as long as that."""
        ...

    def parameter_layout(self, function: int, count: int) -> tuple[tuple[int, int], ...] | None:
        """Offset and size of the first `count` parameters as the driver sees them; None where it cannot tell.

        Shorter than `count` when the kernel has fewer.
        """
        ...

    def allow_shared(self, function: int, size: int, doing: str) -> None:
        """Let a kernel use more than 48 KB of shared memory."""
        ...

    def create_stream(self) -> int:
        """A stream that does not wait for the default one."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Free a stream."""
        ...

    def synchronise(self, stream: int, doing: str) -> None:
        """Wait until everything put into the stream is done; errors of kernels surface here."""
        ...

    def allocate(self, size: int, doing: str) -> int:
        """Device memory, aligned to 256 bytes."""
        ...

    def free(self, address: int) -> None:
        """Free device memory; no enqueued work may still use it."""
        ...

    def allocate_pinned(self, size: int, doing: str) -> int:
        """Page-locked host memory, which copies to and from the device overlap with other work."""
        ...

    def free_pinned(self, address: int) -> None:
        """Free page-locked memory."""
        ...

    def upload(self, device: int, host: int, size: int, stream: int) -> None:
        """Enqueue a copy of `size` bytes from pinned host memory."""
        ...

    def download(self, host: int, device: int, size: int, stream: int) -> None:
        """Enqueue a copy of `size` bytes into pinned host memory."""
        ...

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueue a copy within device memory."""
        ...

    def launch(
        self,
        function: int,
        grid: Grid,
        threads: int,
        shared: int,
        stream: int,
        block: bytes,
        layout: tuple[tuple[int, int], ...],
        doing: str,
    ) -> None:
        """Enqueue a kernel; `block` holds its parameters, laid out as `layout` says."""
        ...

    def create_event(self) -> int:
        """An event without a clock."""
        ...

    def record_event(self, event: int, stream: int) -> None:
        """Mark the point that the stream has reached."""
        ...

    def wait_event(self, event: int, doing: str) -> None:
        """Block the host until a recorded event has passed; returns at once for one never recorded."""
        ...

    def destroy_event(self, event: int) -> None:
        """Free an event."""
        ...

    def begin_capture(self, stream: int) -> None:
        """From here on what is put into the stream is recorded instead of run."""
        ...

    def end_capture(self, stream: int, doing: str) -> int:
        """End the recording; returns an executable graph."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None:
        """Enqueue everything a graph recorded."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Free a graph that is not running."""
        ...
