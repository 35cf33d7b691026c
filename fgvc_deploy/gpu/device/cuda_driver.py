"""`Driver` on cuda-python (cuda.bindings 13).  The package is imported when the driver is opened, never before."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.device.cuda_bindings import NO_DRIVER, bindings, describe, unknown_code, value_of
from fgvc_deploy.gpu.device.driver import Grid


def open_driver(ordinal: int = 0) -> CudaDriver:
    """Start the driver and take the GPU `ordinal`; BackendError, one sentence, when there is none."""
    cuda = bindings()
    try:
        value_of(cuda, cuda.cuInit(0), "start the driver")
    except RuntimeError as error:
        # cuda.pathfinder's DynamicLibNotFoundError is a RuntimeError; older bindings raise that itself.
        raise BackendError(NO_DRIVER) from error
    return CudaDriver(cuda, ordinal)


class CudaDriver:
    """See `Driver`.  Holds the primary context, which all sessions of a process and all libraries share."""

    def __init__(self, cuda: Any, ordinal: int) -> None:
        self._cuda = cuda
        self._device = self._ask("take the GPU", cuda.cuDeviceGet, ordinal)
        self.info = describe(cuda, self._device, ordinal)
        self._context = self._ask("open a context on the GPU", cuda.cuDevicePrimaryCtxRetain, self._device)

    def _ask(self, doing: str, function: Any, *arguments: Any) -> Any:
        try:
            answer = function(*arguments)
        except ValueError as error:
            raise unknown_code(doing, error) from error
        return value_of(self._cuda, answer, doing)

    @contextmanager
    def current(self) -> Iterator[None]:
        """See `Driver.current`."""
        self._ask("enter the GPU context", self._cuda.cuCtxPushCurrent, self._context)
        try:
            yield
        finally:
            # Unchecked: its failure would hide the error of the block.
            self._cuda.cuCtxPopCurrent()

    def release(self) -> None:
        """See `Driver.release`."""
        self._ask("leave the GPU", self._cuda.cuDevicePrimaryCtxRelease, self._device)

    def load_module(self, image: bytes, doing: str) -> int:
        """See `Driver.load_module`."""
        return int(self._ask(doing, self._cuda.cuModuleLoadData, image))

    def unload_module(self, module: int) -> None:
        """See `Driver.unload_module`."""
        self._ask("unload a kernel", self._cuda.cuModuleUnload, module)

    def function(self, module: int, symbol: str, doing: str) -> int:
        """See `Driver.function`."""
        return int(self._ask(doing, self._cuda.cuModuleGetFunction, module, symbol.encode()))

    def parameter_layout(self, function: int, count: int) -> tuple[tuple[int, int], ...] | None:
        """See `Driver.parameter_layout`."""
        table: list[tuple[int, int]] = []
        for index in range(count):
            try:
                status, offset, size = self._cuda.cuFuncGetParamInfo(function, index)
            except RuntimeError:  # drivers before 12.4 do not have the call
                return None
            if status != self._cuda.CUresult.CUDA_SUCCESS:
                break
            table.append((int(offset), int(size)))
        return tuple(table)

    def allow_shared(self, function: int, size: int, doing: str) -> None:
        """See `Driver.allow_shared`."""
        attribute = self._cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._ask(doing, self._cuda.cuFuncSetAttribute, function, attribute, size)

    def create_stream(self) -> int:
        """See `Driver.create_stream`."""
        flags = self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        return int(self._ask("create a stream", self._cuda.cuStreamCreate, int(flags)))

    def destroy_stream(self, stream: int) -> None:
        """See `Driver.destroy_stream`."""
        self._ask("free a stream", self._cuda.cuStreamDestroy, stream)

    def synchronise(self, stream: int, doing: str) -> None:
        """See `Driver.synchronise`."""
        self._ask(doing, self._cuda.cuStreamSynchronize, stream)

    def allocate(self, size: int, doing: str) -> int:
        """See `Driver.allocate`."""
        return int(self._ask(doing, self._cuda.cuMemAlloc, size))

    def free(self, address: int) -> None:
        """See `Driver.free`."""
        self._ask("free device memory", self._cuda.cuMemFree, address)

    def allocate_pinned(self, size: int, doing: str) -> int:
        """See `Driver.allocate_pinned`."""
        return int(self._ask(doing, self._cuda.cuMemHostAlloc, size, 0))

    def free_pinned(self, address: int) -> None:
        """See `Driver.free_pinned`."""
        self._ask("free pinned memory", self._cuda.cuMemFreeHost, address)

    def upload(self, device: int, host: int, size: int, stream: int) -> None:
        """See `Driver.upload`."""
        self._ask("copy to the GPU", self._cuda.cuMemcpyHtoDAsync, device, host, size, stream)

    def download(self, host: int, device: int, size: int, stream: int) -> None:
        """See `Driver.download`."""
        self._ask("copy from the GPU", self._cuda.cuMemcpyDtoHAsync, host, device, size, stream)

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        """See `Driver.copy`."""
        self._ask("copy on the GPU", self._cuda.cuMemcpyDtoDAsync, target, source, size, stream)

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
        """See `Driver.launch`."""
        values = ctypes.create_string_buffer(block, len(block))
        base = ctypes.addressof(values)
        # One pointer per parameter: the driver takes sizes and offsets from the cubin itself, and copies at once.
        pointers = (ctypes.c_void_p * len(layout))(*(base + offset for offset, _ in layout))
        self._ask(
            doing,
            self._cuda.cuLaunchKernel,
            function,
            *grid,
            threads,
            1,
            1,
            shared,
            stream,
            ctypes.addressof(pointers),
            0,
        )

    def create_event(self) -> int:
        """See `Driver.create_event`."""
        flags = self._cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING
        return int(self._ask("create an event", self._cuda.cuEventCreate, int(flags)))

    def record_event(self, event: int, stream: int) -> None:
        """See `Driver.record_event`."""
        self._ask("record an event", self._cuda.cuEventRecord, event, stream)

    def wait_event(self, event: int, doing: str) -> None:
        """See `Driver.wait_event`."""
        self._ask(doing, self._cuda.cuEventSynchronize, event)

    def destroy_event(self, event: int) -> None:
        """See `Driver.destroy_event`."""
        self._ask("free an event", self._cuda.cuEventDestroy, event)

    def begin_capture(self, stream: int) -> None:
        """See `Driver.begin_capture`."""
        # Thread-local: another thread's session may allocate meanwhile.
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._ask("start recording a step", self._cuda.cuStreamBeginCapture, stream, mode)

    def end_capture(self, stream: int, doing: str) -> int:
        """See `Driver.end_capture`."""
        graph = self._ask(doing, self._cuda.cuStreamEndCapture, stream)
        try:
            return int(self._ask(doing, self._cuda.cuGraphInstantiate, graph, 0))
        finally:
            self._cuda.cuGraphDestroy(graph)

    def launch_graph(self, graph: int, stream: int) -> None:
        """See `Driver.launch_graph`."""
        self._ask("replay a step", self._cuda.cuGraphLaunch, graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """See `Driver.destroy_graph`."""
        self._ask("free a graph", self._cuda.cuGraphExecDestroy, graph)
