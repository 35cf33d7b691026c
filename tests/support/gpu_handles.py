"""The inside of the emulated driver: handles that are alive, work that waits, and cubins that only it can load."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fgvc_deploy.gpu.device.driver import DeviceInfo, Grid
from fgvc_deploy.gpu.device.faults import cuda_error
from gpu_memory import EmulatedMemory

MAGIC = b"\x7fFAKECUBIN"
ORIN = DeviceInfo(0, "Emulated Orin", "00" * 16, (8, 7), 8 << 30, 16, 163 << 10, 13020)
Layout = tuple[tuple[int, int], ...]


def fake_cubin(
    kernel: str, symbol: str, constexprs: dict[str, Any], params: list[tuple[str, str, int, int]]
) -> bytes:
    """What the emulated driver loads: its own parameter table (name, type, offset, size), as machine code has."""
    facts = {"kernel": kernel, "symbol": symbol, "constexprs": constexprs, "params": params}
    return MAGIC + json.dumps(facts).encode()


class EmulatedHandles:
    """What all calls share: handles, the current context, the queue, and failures on demand."""

    def __init__(self, info: DeviceInfo = ORIN, memory_limit: int = 1 << 30) -> None:
        self.info = info
        self.memory = EmulatedMemory()
        self.calls: Counter[str] = Counter()
        self.launches: list[tuple[str, Grid, dict[str, Any]]] = []
        self.fail: dict[str, tuple[int, int]] = {}
        self.released = False
        self.lost = 0
        self._limit = memory_limit
        self._handles: dict[int, tuple[str, Any]] = {}
        self._next = itertools.count(0x1000, 16)
        self._pinned: dict[int, Any] = {}
        self._queue: list[Callable[[], None]] = []
        self._capture: list[Callable[[], None]] | None = None
        self._allowed: dict[int, int] = {}
        self._contexts = threading.local()
        self._lock = threading.RLock()

    def alive(self) -> dict[str, int]:
        """How many handles of each kind have not been freed."""
        kinds = Counter(kind for kind, _ in self._handles.values() if kind != "function")
        kinds.update({"memory": len(self.memory.live), "pinned": len(self._pinned)})
        return {kind: count for kind, count in kinds.items() if count}

    def _enter(self, method: str, doing: str = "do this") -> None:
        self.calls[method] += 1
        if method in self.fail:
            code, countdown = self.fail[method]
            self.fail[method] = (code, countdown - 1)
            if countdown <= 1:
                del self.fail[method]
                raise cuda_error(code, "CUDA_ERROR_EMULATED", doing)
        if not getattr(self._contexts, "depth", 0):
            raise cuda_error(201, "CUDA_ERROR_INVALID_CONTEXT", doing)
        if self.lost:
            raise cuda_error(self.lost, "CUDA_ERROR_ILLEGAL_ADDRESS", doing)

    def _new(self, kind: str, value: Any) -> int:
        handle = next(self._next)
        self._handles[handle] = (kind, value)
        return handle

    def _get(self, kind: str, handle: int, doing: str = "use a handle") -> Any:
        found, value = self._handles.get(handle, ("nothing", None))
        if found != kind:
            raise cuda_error(400, "CUDA_ERROR_INVALID_HANDLE", f"{doing} ({kind} wanted, {found} given)")
        return value

    def _drop(self, kind: str, handle: int) -> None:
        self._get(kind, handle)
        del self._handles[handle]

    def _put(self, work: Callable[[], None]) -> None:
        (self._queue if self._capture is None else self._capture).append(work)

    def _drain(self, until: int | None = None, doing: str = "wait") -> None:
        count = len(self._queue) if until is None else until
        work, self._queue[:count] = self._queue[:count], []
        try:
            for job in work:
                job()
        except Exception as error:
            # NumPy notices some wild launches that a GPU answers with an illegal address.
            self.lost = 700
            raise cuda_error(700, "CUDA_ERROR_ILLEGAL_ADDRESS", f"{doing} [{error}]") from error

    @contextmanager
    def current(self) -> Iterator[None]:
        self._contexts.depth = getattr(self._contexts, "depth", 0) + 1
        try:
            yield
        finally:
            self._contexts.depth -= 1

    def release(self) -> None:
        self.calls["release"] += 1
        self.released = True


def machine_layout(params: list[tuple[str, str, int, int]]) -> Layout:
    """Offsets and sizes of the parameters, the two hidden pointers behind them."""
    table = [(offset, size) for _, _, offset, size in params]
    for _ in range(2):
        end = sum(table[-1]) if table else 0
        table.append((-(-end // 8) * 8, 8))
    return tuple(table)


def device(compute_capability: tuple[int, int], name: str = "Emulated GPU") -> DeviceInfo:
    """The description of another GPU."""
    return ORIN._replace(compute_capability=compute_capability, name=name)
