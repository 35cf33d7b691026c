"""A step as data: launches and copies with all their arguments, in order.

Because a step is a value, two that are equal do the same to the same memory.  `graphs.py` records a step that comes
again and replays it; nothing there needs to know what the step is about.
"""

from __future__ import annotations

from typing import NamedTuple

from fgvc_deploy.gpu.cubins.kernel_set import Kernel
from fgvc_deploy.gpu.device.driver import Driver, Grid


class Launch(NamedTuple):
    """One kernel with its grid and packed parameters."""

    kernel: Kernel
    grid: Grid
    block: bytes

    def enqueue(self, driver: Driver, stream: int) -> None:
        """Put it into the stream."""
        kernel = self.kernel
        driver.launch(
            kernel.function,
            self.grid,
            kernel.threads,
            kernel.metadata.shared_bytes,
            stream,
            self.block,
            kernel.metadata.layout,
            f"launch the kernel {kernel.metadata.kernel}",
        )


class Copy(NamedTuple):
    """A copy within device memory."""

    target: int
    source: int
    size: int

    def enqueue(self, driver: Driver, stream: int) -> None:
        """Put it into the stream."""
        driver.copy(self.target, self.source, self.size, stream)


class Download(NamedTuple):
    """A copy into pinned host memory."""

    host: int
    device: int
    size: int

    def enqueue(self, driver: Driver, stream: int) -> None:
        """Put it into the stream."""
        driver.download(self.host, self.device, self.size, stream)


Operation = Launch | Copy | Download
Step = tuple[Operation, ...]
