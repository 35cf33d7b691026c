"""Recording steps that come again into CUDA graphs, so that one call of the driver replays them.

The memory is a ring, so its addresses come again every few frames, and with them equal steps (`steps.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from fgvc_deploy.gpu.device.driver import Driver
from fgvc_deploy.gpu.device.faults import CudaError
from fgvc_deploy.gpu.stream.steps import Step

# A ring has memory + 2 phases, 7 for the reference's settings; several trackers share a session.
MOST_GRAPHS = 128
# Below this a graph saves nothing worth its memory.
FEWEST_OPERATIONS = 2


class StepRunner:
    """Enqueues steps: the first time one by one, the second time recorded, from then on replayed.

    Keeps the most recently used `MOST_GRAPHS` graphs.  With `record=False` every step is enqueued one by one.
    """

    def __init__(self, driver: Driver, stream: int, *, record: bool = True) -> None:
        self.replayed = 0
        """How many steps were replayed from a graph."""
        self._driver = driver
        self._stream = stream
        self._record = record
        self._seen: OrderedDict[Step, int | None] = OrderedDict()

    def run(self, step: Step) -> None:
        """Put a step into the stream."""
        if not self._record or len(step) < FEWEST_OPERATIONS:
            self._enqueue(step)
            return
        if step not in self._seen:
            self._enqueue(step)
            self._remember(step, None)
            return
        graph = self._seen[step]
        if graph is None:
            graph = self._capture(step)
        self._remember(step, graph)
        self._driver.launch_graph(graph, self._stream)
        self.replayed += 1

    def forget(self) -> None:
        """Free every graph; nothing that was enqueued may still be running."""
        for graph in self._seen.values():
            if graph is not None:
                with suppress(CudaError):
                    self._driver.destroy_graph(graph)
        self._seen.clear()

    def _enqueue(self, step: Step) -> None:
        for operation in step:
            operation.enqueue(self._driver, self._stream)

    def _capture(self, step: Step) -> int:
        doing = f"record a step of {len(step)} operations"
        self._driver.begin_capture(self._stream)
        try:
            self._enqueue(step)
        except BaseException:
            # The stream must leave the recording state, or everything after this would be recorded too.
            with suppress(CudaError):
                self._driver.destroy_graph(self._driver.end_capture(self._stream, doing))
            raise
        return self._driver.end_capture(self._stream, doing)

    def _remember(self, step: Step, graph: int | None) -> None:
        self._seen[step] = graph
        self._seen.move_to_end(step)
        while len(self._seen) > MOST_GRAPHS:
            _, oldest = self._seen.popitem(last=False)
            if oldest is not None:
                self._driver.destroy_graph(oldest)
