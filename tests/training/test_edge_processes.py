"""The task `edge` with all its losses in two processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tiny_edge import paper_config, tiny_edge_settings

ROOT = Path(__file__).resolve().parents[2]
PROCESS = """
import json, sys
from pathlib import Path
import torch
from fgvc_training.trainer import loop
from fgvc_training.trainer.config import check_config
from tiny_task import Silent
out = Path(sys.argv[1])
class Kept(loop.Run):
    def train(self):
        outcome = super().train()
        torch.save(self.learner.module.state_dict(), out.parent / f"{self._processes.rank}.pt")
        return outcome
loop.Run = Kept
assert loop.train(check_config(json.loads(sys.argv[2]), "test"), out, Silent()).signal is None
"""


@pytest.mark.slow
def test_two_processes_train_all_terms(tmp_path: Path) -> None:
    """One pair each, so of one kind: no process may wait for the other's discriminator or batch norm.

    In the end both have the same weights, the discriminator's too.
    """
    config = paper_config(tiny_edge_settings(tmp_path / "data"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    paths = os.pathsep.join(str(ROOT / part) for part in ("training", "tests/support"))
    common = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "run"), json.dumps(config.as_dict())]
    running = [
        subprocess.Popen(command, env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert "paper.discriminator.cls_layer.1.weight" in first
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    row = (tmp_path / "run" / "log.csv").read_text().splitlines()[-1]
    assert all(0 < float(value) < 100 for value in row.split(","))
