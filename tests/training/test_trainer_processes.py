"""Two processes with half of each batch train the same weights as one with all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fgvc_training.errors import TrainingError
from fgvc_training.trainer.batch_norm import SyncedBatchNorm2d, synchronize_batch_norm
from fgvc_training.trainer.folder import RunFolder
from fgvc_training.trainer.loop import train
from fgvc_training.trainer.processes import Processes
from tiny_task import Silent, tiny_config

ROOT = Path(__file__).resolve().parents[2]
# The task in float64: what is left of a difference is then the order of sums, not Adam blowing up rounding errors.
PROCESS = """
import os, sys, time
from pathlib import Path
import tiny_task
from fgvc_training.trainer.loop import train
tiny_task.register()
class Slow(tiny_task.Silent):
    def progress(self, text, share):
        super().progress(text, share)
        if os.environ.get("SLOW"):
            print("step", self.steps, flush=True)
            time.sleep(0.2)
config = tiny_task.tiny_config({"batch_norm": sys.argv[2]}, dropout=0, double=True)
outcome = train(config, Path(sys.argv[1]), Slow(), resume=len(sys.argv) > 3)
assert outcome.signal in (None, 15), outcome
"""


def start(out: Path, *arguments: str, slow: bool = False) -> list[subprocess.Popen[str]]:
    """Two processes as torchrun would start them, without its agent."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("training", "tests/support"))
    common = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(free_port())} | ({"SLOW": "1"} if slow else {})
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(out), *arguments],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def finish(processes: list[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            process.communicate(timeout=120)
        assert [process.returncode for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()


def flat(state: dict[str, object]) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in state.values() if isinstance(value, torch.Tensor)])


@pytest.fixture(scope="module")
def alone(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    train(tiny_config(dropout=0, double=True), out, Silent())
    return out


@pytest.mark.slow
def test_two_processes_equal_one(alone: Path, tmp_path: Path) -> None:
    """Ten Adam steps with batch norm; then stopped half-way by SIGTERM to one process only, and resumed."""
    running = start(tmp_path / "run", "synced", slow=True)
    stdout = running[1].stdout
    assert stdout is not None
    while stdout.readline() != "step 4\n":
        assert running[1].poll() is None
    running[1].send_signal(signal.SIGTERM)
    finish(running)
    folder = RunFolder(tmp_path / "run")
    stopped_at = folder.checkpoint_steps()[-1]
    assert 5 <= stopped_at < 10
    finish(start(tmp_path / "run", "synced", "--resume"))
    one, two = (RunFolder(path).load_checkpoint() for path in (alone, tmp_path / "run"))
    assert one is not None
    assert two is not None
    for part in ("module", "average"):
        expected, found = (state[part] if part == "module" else state[part]["encoder"] for state in (one, two))
        # float64 sums in another order: after ten steps 2e-16 was measured.
        torch.testing.assert_close(flat(found), flat(expected), rtol=1e-13, atol=1e-13)
    assert one["best"][0] == two["best"][0]
    first, second = ((path / "log.csv").read_text() for path in (alone, tmp_path / "run"))
    assert first == second


@pytest.mark.slow
def test_local_batch_norm_is_another_training(alone: Path, tmp_path: Path) -> None:
    """The comparison above can fail: with each process's own statistics the weights differ."""
    finish(start(tmp_path / "run", "local"))
    one, two = (RunFolder(path).load_checkpoint() for path in (alone, tmp_path / "run"))
    assert one is not None
    assert two is not None
    assert float((flat(one["module"]) - flat(two["module"])).abs().max()) > 1e-4


def test_a_batch_must_be_shared_equally() -> None:
    with pytest.raises(TrainingError, match="multiple of 3"):
        Processes(0, 3, torch.device("cpu")).share(4)
    shares = [list(Processes(rank, 2, torch.device("cpu")).share(6)) for rank in range(2)]
    assert shares == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
def test_synced_batch_norm_is_batch_norm(
    monkeypatch: pytest.MonkeyPatch, momentum: float | None, affine: bool
) -> None:
    """Its own arithmetic, with one process pretending to be in a group: output, gradients, running statistics."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: None)
    plain = nn.BatchNorm2d(3, momentum=momentum, affine=affine).double()
    synced = nn.BatchNorm2d(3, momentum=momentum, affine=affine).double()
    assert isinstance(synchronize_batch_norm(synced), SyncedBatchNorm2d)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64) * 2 + 1
        direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        results = []
        for norm in (plain, synced):
            value = x.clone().requires_grad_()
            out = norm(value)
            results.append((out.detach(), *torch.autograd.grad((out * direction).sum(), [value, *norm.parameters()])))
        for ours, expected in zip(*results, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(dict(synced.state_dict()), dict(plain.state_dict()), rtol=1e-12, atol=1e-14)
    value = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(synced.eval()(value), plain.eval()(value))
