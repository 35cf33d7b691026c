"""Runs of `fgvc-deploy run` that are refused or end early: what is kept, what is said, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fgvc_deploy.job import running

Fgvc = Callable[..., Any]
FAST = ("--size", "native", "--quiet")


def test_results_are_not_overwritten_unasked(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    done = fgvc("run", video, "--grid", 2, "--out", "out", *FAST)
    assert done.code == 2
    assert "--overwrite" in done.err
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"
    assert fgvc("run", video, "--grid", 2, "--out", "out", "--overwrite", *FAST).code == 0
    assert not (tmp_path / "out" / "thesis.txt").exists()


@pytest.mark.parametrize("source", ["clip/*.png", "*/?.png", "clip"])
def test_a_folder_of_input_frames_is_never_replaced(source: str, fgvc: Fgvc, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for t in range(2):
        Image.fromarray(np.full((48, 64, 3), 40 * t, np.uint8)).save(tmp_path / "clip" / f"{t}.png")
    done = fgvc("run", source, "--grid", 2, "--out", "clip", "--overwrite", *FAST)
    assert done.code == 2
    assert "holds the input" in done.err
    assert sorted(p.name for p in (tmp_path / "clip").iterdir()) == ["0.png", "1.png"]


def test_a_truncated_video_keeps_the_frames_before(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for t in range(6):
        Image.fromarray(np.full((48, 64, 3), 40 * t, np.uint8)).save(frames / f"{t}.png")
    (frames / "4.png").write_bytes((frames / "4.png").read_bytes()[:60])
    done = fgvc("run", frames, "--grid", 2, "--out", "out", *FAST)
    assert done.code == 2
    assert "4.png" in done.err
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert saved["tracks"].shape == (4, 4, 2)
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["faults"][0]["frame_index"] == 4
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as overlay:
        assert sum(1 for _ in overlay.decode(video=0)) == 4


def test_frames_that_change_size(fgvc: Fgvc, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for t in range(4):
        Image.fromarray(np.full((48, 64 if t < 3 else 66, 3), 40 * t, np.uint8)).save(frames / f"{t}.png")
    done = fgvc("run", frames, "--grid", 2, "--out", "out", *FAST)
    assert done.code == 2
    assert "frame 3 is 66x48 but frame 0 is 64x48" in done.err
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert saved["tracks"].shape == (4, 3, 2)


def test_ctrl_c_keeps_finished_frames(
    fgvc: Fgvc, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fgvc_deploy.job.tasks import PointTask

    write = PointTask.write
    calls = []

    def interrupted_write(self: PointTask, result: Any) -> None:
        calls.append(result.frame_index)
        if result.frame_index == 3:
            os.kill(os.getpid(), signal.SIGINT)
        write(self, result)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(PointTask, "write", interrupted_write)
    done = fgvc("run", video, "--grid", 2, "--out", "out", *FAST)
    assert done.code == 130
    assert done.err == f"fgvc-deploy: stopped with Ctrl-C: 4 frames done, kept in {tmp_path / 'out'}.\n"
    assert calls == [0, 1, 2, 3]
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert saved["tracks"].shape == (4, 4, 2)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["faults"][0]["message"] == "stopped with Ctrl-C"


def test_a_full_disk_leaves_nothing(fgvc: Fgvc, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fgvc_deploy.results.disk import disk_errors
    from fgvc_deploy.results.tracks_writer import TracksWriter

    def full(self: TracksWriter, *_: object) -> None:
        with disk_errors(tmp_path / "out"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(TracksWriter, "write", full)
    done = fgvc("run", video, "--grid", 2, "--out", "out", *FAST)
    assert done.code == 2
    assert "disk is full" in done.err
    assert list(tmp_path.iterdir()) == []


def test_an_unexpected_error_shows_itself(
    fgvc: Fgvc, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug must not be dressed up as bad input; and still nothing half-written stays."""
    monkeypatch.setattr(running, "run_report", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fgvc("run", video, "--grid", 2, "--out", "out", *FAST)
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage(fgvc: Fgvc) -> None:
    assert fgvc("run").code == 2
    assert fgvc("dance").code == 2
    assert "Track points" in fgvc("--help").out
