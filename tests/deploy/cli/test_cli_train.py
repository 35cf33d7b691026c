"""`fgvc-deploy train` as a person uses it: results, signals, resume, refusals, the picture."""

from __future__ import annotations

import builtins
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import tiny_task

CONFIG = """
task = "tiny"
[training]
steps = 6
batch = 2
workers = 0
threads = 1
evaluate_every = 3
log_every = 1
"""


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_task.register(patch)
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CONFIG)
    return path


def test_train_writes_weights_logs_and_says_what_is_next(fgvc: Callable[..., Any], config: Path) -> None:
    outcome = fgvc("train", config)
    assert outcome.code == 0
    folder = Path("fgvc-train/small")
    assert {path.name for path in folder.iterdir()} == {
        "best.safetensors",
        "final.safetensors",
        "checkpoints",
        "config.json",
        "eval.csv",
        "log.csv",
        "sessions.jsonl",
    }
    assert "step 6 of 6" in outcome.err
    assert f"next: fgvc-deploy export {folder / 'best.safetensors'}" in outcome.err
    session = json.loads((folder / "sessions.jsonl").read_text())
    assert (session["from_step"], session["to_step"], session["threads"], session["processes"]) == (0, 6, 1, 1)


def test_json_is_one_object(fgvc: Callable[..., Any], config: Path) -> None:
    outcome = fgvc("train", config, "--json", "--set", "training.steps=2", "--out", "run")
    assert outcome.err == ""
    result = json.loads(outcome.out)
    assert result["steps"] == 2
    assert result["final"] == "run/final.safetensors"
    assert set(result["metrics"]) == {"score", "error"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(
    fgvc: Callable[..., Any], config: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    evaluate = tiny_task.TinyTask.evaluate

    def signalled(self: tiny_task.TinyTask, encoder: nn.Module, *, seed: int) -> dict[str, float]:
        os.kill(os.getpid(), number)
        return evaluate(self, encoder, seed=seed)

    monkeypatch.setattr(tiny_task.TinyTask, "evaluate", signalled)
    stopped = fgvc("train", config, "--out", "run")
    monkeypatch.setattr(tiny_task.TinyTask, "evaluate", evaluate)
    assert stopped.code == code
    assert (
        "stopped after step 1, which is saved in run: to go on, give the same command with --resume." in stopped.err
    )
    assert "Traceback" not in stopped.err
    again = fgvc("train", config, "--out", "run", "--resume")
    assert again.code == 0
    assert "going on from step 1" in again.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "training.stps=3"], "there is no key training.stps"),
        (["--resume"], "holds no run to continue"),
        (["--set", "tiny.unreadable=3"], "the file a.png cannot be read: get it again."),
        (["--set", "tiny.poison=3"], "at step 2 not finite: loss, fit"),
        (["--set", "training.device=cuda"], "there is no CUDA device here"),
        (["--set", "training.tensorboard=true"], "pip install tensorboard"),
        (["--curve", "curve.gif"], "neither .svg nor .png"),
    ],
)
def test_refusals_are_one_sentence(
    fgvc: Callable[..., Any], config: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    outcome = fgvc("train", config, *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(Path().rglob("final.safetensors"))
    assert Path("fgvc-train").exists() == ("tiny." in options[-1])
    assert "Traceback" not in outcome.err


def test_missing_packages_are_named(fgvc: Callable[..., Any], config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    outcome = fgvc("train", config, "--curve", "curve.svg")
    assert outcome.code == 2
    assert "pip install 'fgvc-deploy[bench]'" in outcome.err


def test_a_full_disk_is_one_sentence(fgvc: Callable[..., Any], config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    outcome = fgvc("train", config, "--out", "run")
    assert outcome.code == 2
    assert "No space left on device" in outcome.err
    assert not list(Path("run/checkpoints").iterdir())


def test_the_picture_is_the_same_for_the_same_run(fgvc: Callable[..., Any], config: Path) -> None:
    """It is drawn when training ends, and again from a finished run."""
    assert fgvc("train", config, "--out", "run", "--curve", "first.svg").code == 0
    assert fgvc("train", config, "--out", "run", "--resume", "--curve", "second.svg").code == 0
    picture = Path("first.svg").read_bytes()
    assert picture == Path("second.svg").read_bytes()
    for name in (b"fit", b"gradient_norm"):
        assert (b">%s</text>" % name in picture) == (name == b"fit")
    assert fgvc("train", config, "--out", "run", "--resume", "--curve", "third.png").code == 0
    assert Path("third.png").read_bytes().startswith(b"\x89PNG")
