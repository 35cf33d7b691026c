"""An interrupted run ends with the bytes of a straight one; signals save; a kill leaves nothing half-written."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from fgvc_training.trainer.folder import RunFault, RunFolder
from fgvc_training.trainer.loop import Outcome, train
from tiny_task import Silent, TinyTask, tiny_config

pytestmark = pytest.mark.usefixtures("tiny")


class Interrupting(Silent):
    """Sends this process a signal after a number of steps."""

    def __init__(self, after: int, number: signal.Signals) -> None:
        super().__init__()
        self._after, self._number = after, number

    def progress(self, text: str, share: float) -> None:
        super().progress(text, share)
        if self.steps == self._after:
            os.kill(os.getpid(), self._number)


def assert_same_run(first: Path, second: Path) -> None:
    """Weights, optimizer, average, random state, counters and logs: every byte."""
    states = [RunFolder(path).load_checkpoint() for path in (first, second)]
    assert_same(*states)
    for name in ("log.csv", "eval.csv", "best.safetensors", "final.safetensors", "config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def assert_same(first: Any, second: Any) -> None:
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert first.numpy().tobytes() == second.numpy().tobytes()
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for pair in zip(first, second, strict=True):
            assert_same(*pair)
    else:
        assert first == second


@pytest.fixture(scope="module")
def straight(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight") / "run"
    assert train(tiny_config(), out, Silent()).signal is None
    return out


@pytest.mark.parametrize("stop", [1, 5, 8])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_run_equals_a_straight_one(
    straight: Path, tmp_path: Path, stop: int, number: signal.Signals
) -> None:
    """The signal comes between steps `stop` and `stop + 1`; the latter is finished, saved and reported."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = train(tiny_config(), tmp_path / "run", Interrupting(stop, number))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert outcome == Outcome(stop + 1, number, outcome.best, None, outcome.metrics)
    torch.manual_seed(99)
    resumed = Silent()
    assert train(tiny_config(), tmp_path / "run", resumed, resume=True).signal is None
    assert resumed.steps == 10 - (stop + 1)
    assert resumed.lines[0] == f"going on from step {stop + 1}"
    assert_same_run(straight, tmp_path / "run")


def test_low_precision_resumes_exactly_too(tmp_path: Path) -> None:
    """As quick.toml trains: bf16 autocast, channels last, samples made by a worker."""
    config = tiny_config({"precision": "bf16", "channels_last": True, "workers": 1})
    train(config, tmp_path / "straight", Silent())
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert train(config, tmp_path / "run", Interrupting(5, signal.SIGINT)).signal == signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, previous)
    train(config, tmp_path / "run", Silent(), resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "run")


class Killed(Exception):
    """Stands for kill -9: nothing after it runs."""


@pytest.mark.parametrize("at", [0, 2, 7])
def test_killed_run_goes_on_from_its_last_checkpoint(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Rows logged after the last checkpoint are written again, not twice."""
    real = TinyTask.collate

    def deadly(self: TinyTask, samples: Any) -> Any:
        calls.append(1)
        if len(calls) == at + 1:
            raise Killed
        return real(self, samples)

    calls: list[int] = []
    monkeypatch.setattr(TinyTask, "collate", deadly)
    with pytest.raises(Killed):
        train(tiny_config(), tmp_path / "run", Silent())
    monkeypatch.undo()
    rows_before = (tmp_path / "run" / "eval.csv").read_text().count("\n")
    assert rows_before == 2 + (at > 4)
    train(tiny_config(), tmp_path / "run", Silent(), resume=True)
    assert_same_run(straight, tmp_path / "run")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(straight: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "run"
    train(tiny_config({"workers": workers}), out, Silent())
    (out / "config.json").write_bytes((straight / "config.json").read_bytes())
    assert_same_run(straight, out)


def test_another_seed_is_another_run(straight: Path, tmp_path: Path) -> None:
    """The comparisons above can fail."""
    config = tiny_config()
    other = type(config)(config.task, 8, config.training, config.settings)
    train(other, tmp_path / "run", Silent())
    with pytest.raises(AssertionError):
        assert_same_run(straight, tmp_path / "run")


def test_last_and_best_checkpoints_are_kept(tmp_path: Path) -> None:
    """Steps 3, 6, 9 by rhythm, 4, 8 and 10 as best and last; two are kept besides the best."""
    train(tiny_config({"keep": 2}), tmp_path / "run", Silent())
    assert RunFolder(tmp_path / "run").checkpoint_steps() == [9, 10]
    worse = tiny_config({"keep": 1, "optimizer": {"learning_rate": 3.0, "warmup_steps": 0, "name": "sgd"}})
    train(worse, tmp_path / "worse", Silent())
    state = RunFolder(tmp_path / "worse").load_checkpoint()
    assert state is not None
    best_step = state["best"][0]
    steps = RunFolder(tmp_path / "worse").checkpoint_steps()
    assert steps == sorted({best_step, 10} - {0})


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    folder.save_checkpoint(1, {"step": 1}, keep=1, best_step=None)

    def half(content: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        folder.save_checkpoint(2, {"step": 2}, keep=1, best_step=None)
    monkeypatch.undo()
    assert folder.load_checkpoint() == {"step": 1}
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_0000001.pt"]


def test_folders_are_not_mixed_up(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFault, match="holds a run already: give --resume"):
        train(tiny_config(), straight, Silent())
    with pytest.raises(RunFault, match="holds no run to continue"):
        train(tiny_config(), tmp_path, Silent(), resume=True)
    with pytest.raises(RunFault, match=r"\(tiny.dropout was 0.1, is now 0.2; training.batch was 4, is now 8\)"):
        train(tiny_config({"batch": 8, "log_every": 5}, dropout=0.2), straight, Silent(), resume=True)


def test_a_key_newer_than_the_run_does_not_stop_it(straight: Path) -> None:
    old = (straight / "config.json").read_text()
    (straight / "config.json").write_text(old.replace('  "channels_last": false,\n', ""))
    RunFolder(straight).check_same(tiny_config())
    (straight / "config.json").write_text(old)


def test_a_finished_run_resumed_does_nothing(straight: Path) -> None:
    before = (straight / "log.csv").read_bytes()
    outcome = train(tiny_config(), straight, Silent(), resume=True)
    assert outcome.step == 10
    assert outcome.final is not None
    assert (straight / "log.csv").read_bytes() == before


def test_other_threads_are_pointed_out(tmp_path: Path) -> None:
    train(tiny_config({"steps": 2}), tmp_path / "run", Silent())
    path = RunFolder(tmp_path / "run").checkpoint(2)
    torch.save(torch.load(path, weights_only=True) | {"threads": 64}, path)
    monitor = Silent()
    train(tiny_config({"steps": 2}), tmp_path / "run", monitor, resume=True)
    assert "the run had 64 threads, now it has 1" in monitor.lines[0]
