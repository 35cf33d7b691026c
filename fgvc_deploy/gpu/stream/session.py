"""`GpuSession`: one GPU, one stream, the memory and kernels in use; everything is freed when it ends.

A process may have several sessions: they share the device's primary context, and nothing else.  What is computed with
one is the business of `propagator.py` and `engine.py`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from numpy.typing import DTypeLike

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.cubins.kernel_set import KernelSet
from fgvc_deploy.gpu.device.driver import Driver
from fgvc_deploy.gpu.device.faults import CudaError
from fgvc_deploy.gpu.device.memory import DevicePool, PinnedArray
from fgvc_deploy.gpu.stream.graphs import StepRunner


class GpuSession:
    """Owns what a model uses on the GPU.  Use it as a context manager, or leave closing to the garbage collector.

    Work may be enqueued from any thread, one at a time: inside `with session.working()`.  Raises BackendError when
    the bundle has no kernels for this GPU.
    """

    def __init__(self, driver: Driver, bundle: Bundle, *, record: bool = True) -> None:
        self.driver = driver
        self._lock = threading.RLock()
        with driver.current():
            try:
                self.kernels = KernelSet(driver, bundle)
                self.stream = driver.create_stream()
            except BaseException:
                driver.release()
                raise
        self.pool = DevicePool(driver)
        self.steps = StepRunner(driver, self.stream, record=record)
        self._pinned: list[PinnedArray] = []
        self._events: list[int] = []
        self._before_end: list[Callable[[], None]] = []
        self._end = weakref.finalize(
            self,
            _end,
            driver,
            self.kernels,
            self.stream,
            self.pool,
            self.steps,
            self._pinned,
            self._events,
            self._before_end,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return not self._end.alive

    def close(self) -> None:
        """Wait for the GPU and free everything; again does nothing."""
        with self._lock:
            self._end()

    @contextmanager
    def working(self) -> Iterator[Driver]:
        """The context is current and no other thread enqueues meanwhile.  BackendError when the session has ended."""
        with self._lock:
            if self.closed:
                raise BackendError("this GPU session has been closed; load the model again.")
            with self.driver.current():
                yield self.driver

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike, what: str) -> PinnedArray:
        """Page-locked memory that lives as long as the session, or until it is given to `unpin`."""
        with self.working() as driver:
            array = PinnedArray(driver, shape, dtype, what)
            self._pinned.append(array)
            return array

    def unpin(self, array: PinnedArray) -> None:
        """Free page-locked memory that no enqueued copy uses."""
        with self.working():
            self._pinned.remove(array)
            array.close()

    def event(self) -> int:
        """An event that lives as long as the session, or until it is given to `drop`."""
        with self.working() as driver:
            self._events.append(driver.create_event())
            return self._events[-1]

    def drop(self, event: int) -> None:
        """Free an event that nobody waits for."""
        with self.working() as driver:
            self._events.remove(event)
            driver.destroy_event(event)

    def at_end(self, action: Callable[[], None]) -> None:
        """Have this done when the session ends, with the context current and all work finished.

        It is left out when the GPU has failed.  It must not refer to the session, which would never be collected.
        """
        self._before_end.append(action)

    def wait(self, event: int, doing: str) -> None:
        """Wait until the GPU has passed an event; others may enqueue meanwhile."""
        with self.driver.current():
            self.driver.wait_event(event, doing)


def _end(
    driver: Driver,
    kernels: KernelSet,
    stream: int,
    pool: DevicePool,
    steps: StepRunner,
    pinned: list[PinnedArray],
    events: list[int],
    before_end: list[Callable[[], None]],
) -> None:
    """Free in the order of dependence.  Errors are swallowed: after a lost context every call fails."""
    with suppress(CudaError), driver.current():
        with suppress(CudaError):
            driver.synchronise(stream, "finish the work under way")
            for action in before_end:
                action()
        before_end.clear()
        steps.forget()
        kernels.close()
        pool.close()
        while pinned:
            pinned.pop().close()
        while events:
            with suppress(CudaError):
                driver.destroy_event(events.pop())
        with suppress(CudaError):
            driver.destroy_stream(stream)
    with suppress(CudaError):
        driver.release()
