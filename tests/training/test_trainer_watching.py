"""What surrounds the loop: stop requests, TensorBoard, and pictures of runs without evaluation."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fgvc_training.errors import TrainingError
from fgvc_training.trainer import stopping
from fgvc_training.trainer.curve import draw_curve
from fgvc_training.trainer.loop import train
from fgvc_training.trainer.stopping import StopRequest
from tiny_task import Silent, tiny_config

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def interruptible() -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interruptible")
def test_the_first_signal_waits_and_a_later_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terminals send Ctrl-C twice; a second one within the grace period is the same wish."""
    with StopRequest() as request:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.number == signal.SIGINT
        monkeypatch.setattr(stopping, "_GRACE_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as request:
            os.kill(os.getpid(), signal.SIGINT)
            assert request.number is None
    finally:
        signal.signal(signal.SIGINT, previous)


def test_tensorboard_gets_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the writer, which is torch's own; what it is given is the tables' content."""
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            written.append((folder, 0.0, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", 0.0, 0))

    module: Any = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    train(tiny_config({"tensorboard": True, "steps": 4}), tmp_path / "run", Silent())
    assert written[0] == (str(tmp_path / "run" / "tensorboard"), 0.0, 0)
    assert written[-1][0] == "closed"
    assert {(name, step) for name, _, step in written if name.startswith("eval")} == {
        (f"eval/{name}", step) for name in ("score", "error") for step in (0, 4)
    }
    logged = {step: value for name, value, step in written if name == "train/loss"}
    rows = [line.split(",") for line in (tmp_path / "run" / "log.csv").read_text().splitlines()[1:]]
    assert logged == {int(row[0]): pytest.approx(float(row[2]), rel=1e-8) for row in rows}


def test_a_run_without_evaluation_has_one_panel(tmp_path: Path) -> None:
    train(tiny_config({"evaluate_every": 0, "steps": 4}), tmp_path / "run", Silent())
    draw_curve(tmp_path / "run", tmp_path / "a.svg")
    assert b">fit</text>" in (tmp_path / "a.svg").read_bytes()
    with pytest.raises(TrainingError, match="has no log yet"):
        draw_curve(tmp_path, tmp_path / "b.svg")
    assert not (tmp_path / "b.svg").exists()
