"""The folder of a run: which checkpoints stay, what a failed save leaves, and runs that must not be mixed up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fgvc_training.trainer.folder import RunFault, RunFolder
from fgvc_training.trainer.loop import train
from tiny_task import Silent, tiny_config

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def straight(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight") / "run"
    assert train(tiny_config(), out, Silent()).signal is None
    return out


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


def test_other_threads_are_pointed_out(tmp_path: Path) -> None:
    train(tiny_config({"steps": 2}), tmp_path / "run", Silent())
    path = RunFolder(tmp_path / "run").checkpoint(2)
    torch.save(torch.load(path, weights_only=True) | {"threads": 64}, path)
    monitor = Silent()
    train(tiny_config({"steps": 2}), tmp_path / "run", monitor, resume=True)
    assert "the run had 64 threads, now it has 1" in monitor.lines[0]
