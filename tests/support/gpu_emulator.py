"""A CUDA driver without a GPU: the `Driver` protocol on host memory, kernels in NumPy (gpu_kernels.py).

It is lazy like the real one: nothing happens until somebody waits, so reading a result too early or overwriting
pinned memory too soon gives wrong numbers here as well.  It refuses what CUDA refuses (no current context, freed
handles, memory out of bounds) and counts what is alive, so that leaks show.
"""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Callable
from typing import Any

from fgvc_deploy.gpu.device.driver import Grid
from fgvc_deploy.gpu.device.faults import cuda_error
from gpu_call import Call
from gpu_handles import MAGIC, EmulatedHandles, Layout, machine_layout
from gpu_kernels import KERNELS

_FORMATS = {4: "<i", 8: "<Q"}


class EmulatedDriver(EmulatedHandles):
    """See the module.  `fail[method] = (code, n)` makes the n-th coming call of a method fail with a CUresult."""

    def load_module(self, image: bytes, doing: str) -> int:
        self._enter("load_module", doing)
        if not image.startswith(MAGIC):
            raise cuda_error(200, "CUDA_ERROR_INVALID_IMAGE", doing)
        return self._new("module", json.loads(image.removeprefix(MAGIC)))

    def unload_module(self, module: int) -> None:
        self._enter("unload_module")
        self._drop("module", module)

    def function(self, module: int, symbol: str, doing: str) -> int:
        self._enter("function", doing)
        facts = self._get("module", module, doing)
        if facts["symbol"] != symbol:
            raise cuda_error(500, "CUDA_ERROR_NOT_FOUND", doing)
        return self._new("function", facts)

    def parameter_layout(self, function: int, count: int) -> Layout | None:
        self._enter("parameter_layout")
        return machine_layout(self._get("function", function)["params"])[:count]

    def allow_shared(self, function: int, size: int, doing: str) -> None:
        self._enter("allow_shared", doing)
        self._allowed[function] = size

    def create_stream(self) -> int:
        self._enter("create_stream")
        return self._new("stream", None)

    def destroy_stream(self, stream: int) -> None:
        self._enter("destroy_stream")
        self._drop("stream", stream)

    def synchronise(self, stream: int, doing: str) -> None:
        self._enter("synchronise", doing)
        self._get("stream", stream)
        with self._lock:
            self._drain(doing=doing)

    def allocate(self, size: int, doing: str) -> int:
        self._enter("allocate", doing)
        if sum(map(len, self.memory.live.values())) + size > self._limit:
            raise cuda_error(2, "CUDA_ERROR_OUT_OF_MEMORY", doing)
        return self.memory.allocate(size)

    def free(self, address: int) -> None:
        self._enter("free")
        with self._lock:
            self._drain()
        self.memory.free(address)

    def allocate_pinned(self, size: int, doing: str) -> int:
        self._enter("allocate_pinned", doing)
        block = (ctypes.c_uint8 * size)(*([0xFF] * min(size, 64)))
        self._pinned[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free_pinned(self, address: int) -> None:
        self._enter("free_pinned")
        del self._pinned[address]

    def upload(self, device: int, host: int, size: int, stream: int) -> None:
        self._copy("upload", stream, lambda: self.memory.write(device, host, size))

    def download(self, host: int, device: int, size: int, stream: int) -> None:
        self._copy("download", stream, lambda: self.memory.read(host, device, size))

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        self._copy("copy", stream, lambda: self.memory.copy(target, source, size))

    def _copy(self, method: str, stream: int, work: Callable[[], None]) -> None:
        self._enter(method)
        self._get("stream", stream)
        with self._lock:
            self._put(work)

    def launch(
        self,
        function: int,
        grid: Grid,
        threads: int,
        shared: int,
        stream: int,
        block: bytes,
        layout: Layout,
        doing: str,
    ) -> None:
        self._enter("launch", doing)
        self._get("stream", stream)
        facts = self._get("function", function, doing)
        if shared > 48 << 10 and self._allowed.get(function, 0) < shared:
            raise cuda_error(1, "CUDA_ERROR_INVALID_VALUE", doing)
        if not all(0 < blocks < 1 << 31 for blocks in grid) or threads % 32:
            raise cuda_error(1, "CUDA_ERROR_INVALID_VALUE", doing)
        # As the driver does: sizes from the machine code, one pointer of the caller's for each parameter.
        values: dict[str, Any] = {}
        table = machine_layout(facts["params"])
        for (name, kind, _, size), (offset, _) in zip(facts["params"], layout, strict=False):
            values[name] = struct.unpack_from("<f" if kind == "fp32" else _FORMATS[size], block, offset)[0]
        hidden = [struct.unpack_from("<Q", block, offset)[0] for offset, _ in layout[len(facts["params"]) :]]
        if len(layout) != len(table) or any(hidden):
            raise cuda_error(1, "CUDA_ERROR_INVALID_VALUE", doing)
        types = {name: kind for name, kind, _, _ in facts["params"]}
        call = Call(self.memory, values, types, facts["constexprs"], (grid.x, grid.y, grid.z))
        self.launches.append((facts["kernel"], grid, values))
        with self._lock:
            self._put(lambda: KERNELS[facts["kernel"]](call))

    def create_event(self) -> int:
        self._enter("create_event")
        return self._new("event", {"reached": True})

    def record_event(self, event: int, stream: int) -> None:
        self._enter("record_event")
        state = self._get("event", event)
        with self._lock:
            state["reached"] = False
            state["token"] = token = object()

            def reach() -> None:
                if state["token"] is token:
                    state["reached"] = True

            self._put(reach)

    def wait_event(self, event: int, doing: str) -> None:
        self._enter("wait_event", doing)
        state = self._get("event", event)
        with self._lock:
            while not state["reached"] and self._queue:
                self._drain(1, doing)

    def destroy_event(self, event: int) -> None:
        self._enter("destroy_event")
        self._drop("event", event)

    def begin_capture(self, stream: int) -> None:
        self._enter("begin_capture")
        if self._capture is not None:
            raise cuda_error(901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "begin")
        self._capture = []

    def end_capture(self, stream: int, doing: str) -> int:
        self._enter("end_capture", doing)
        recorded, self._capture = self._capture, None
        return self._new("graph", recorded)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._enter("launch_graph")
        recorded = self._get("graph", graph)
        with self._lock:
            self._queue.extend(recorded)

    def destroy_graph(self, graph: int) -> None:
        self._enter("destroy_graph")
        self._drop("graph", graph)
