"""The processes of a run, as `torchrun` starts them; without it, one process and no communication.

Nothing else in the trainer talks to other processes, except batch norm and the losses' own averages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fgvc_training.errors import TrainingError


@dataclass(frozen=True)
class Processes:
    """The process we are is number `rank` of `count`; `device` is where it computes."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The places in a global batch that this process fills.  Raises TrainingError if it cannot be shared."""
        if batch % self.count:
            raise TrainingError(
                f"a batch of {batch} cannot be shared equally by {self.count} processes: set training.batch to a "
                f"multiple of {self.count}"
            )
        size = batch // self.count
        return range(self.rank * size, (self.rank + 1) * size)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over processes, the same everywhere."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()

    def wrap(self, module: nn.Module, *, sync_buffers: bool) -> nn.Module:
        """`module` with gradients averaged over processes, and buffers copied from the first before each step."""
        if self.count == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, forward_sync_buffers=sync_buffers)


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started (gloo on CPUs, NCCL on GPUs) for the duration of the block."""
    rank, count, local = (
        int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    chosen = _device(device, local)
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, chosen)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    cuda = torch.cuda.is_available()
    if name == "cuda" and not cuda:
        raise TrainingError('there is no CUDA device here: set training.device to "cpu" or "auto"')
    if name == "cpu" or not cuda:
        return torch.device("cpu")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device
