"""Two processes that average their gradients give the gradient of one process with all their pixels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fgvc_training.losses.reduce import mean_over

TRAINING = Path(__file__).resolve().parents[2] / "training"
# Rank 0 has one valid pixel, rank 1 has six: equal weights per process would be wrong.
VALID = (1, 6)
PROCESS = """
import sys, torch
from torch import distributed as dist
from fgvc_training.losses.reduce import mean_over
rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
values = (torch.arange(8.0) + 10 * rank).requires_grad_()
loss = mean_over(values**2, torch.arange(8) < int(sys.argv[4]), across_processes=True)
(gradient,) = torch.autograd.grad(loss, values)
torch.save((loss.detach(), gradient), out)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_gradients_average_to_those_of_one_process(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(TRAINING), "OMP_NUM_THREADS": "1"}
    outputs = [tmp_path / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), str(tmp_path / "store"), str(outputs[rank]), str(VALID[rank])],
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    losses, gradients = zip(*(torch.load(path, weights_only=True) for path in outputs), strict=True)
    values = torch.cat((torch.arange(8.0), torch.arange(8.0) + 10)).requires_grad_()
    valid = torch.cat([torch.arange(8) < count for count in VALID])
    whole = mean_over(values**2, valid)
    torch.testing.assert_close(torch.stack(losses).mean(), whole.detach())
    torch.testing.assert_close(torch.cat(gradients) / 2, torch.autograd.grad(whole, values)[0])
