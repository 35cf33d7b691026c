"""An interrupted run ends with the bytes of a straight one; signals save; a kill leaves nothing half-written."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from fgvc_training.trainer.folder import RunFolder
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


def test_a_finished_run_resumed_does_nothing(straight: Path) -> None:
    before = (straight / "log.csv").read_bytes()
    outcome = train(tiny_config(), straight, Silent(), resume=True)
    assert outcome.step == 10
    assert outcome.final is not None
    assert (straight / "log.csv").read_bytes() == before
