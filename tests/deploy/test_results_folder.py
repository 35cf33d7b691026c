"""The results folder: complete or absent, whatever happens to the run, the disk or the process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import OutputError
from fgvc_deploy.results import MaskWriter, ResultsFolder, TracksWriter

QUERIES = np.zeros((3, 3), np.float32)
POSITIONS = np.ones((3, 2), np.float32)
MASK = np.ones((4, 4), np.uint8)


def fill(folder: ResultsFolder, xy: NDArray[np.float32] = POSITIONS) -> None:
    tracks, masks = folder.attach(TracksWriter(folder.path, QUERIES)), folder.attach(MaskWriter(folder.path))
    tracks.write(xy, np.ones(3, bool), np.ones(3, np.float32))
    masks.write(MASK)
    folder.write_text("run.json", "{}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_under_the_final_name_before_commit_and_everything_after(tmp_path: Path) -> None:
    with ResultsFolder(tmp_path / "out") as folder:
        fill(folder)
        assert names(tmp_path) == [f".out.partial-{os.getpid()}"]
        assert folder.commit() == tmp_path / "out"
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["masks", "run.json", "tracks.csv", "tracks.npz"]


def test_failure_and_forgotten_commit_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 3 points"), ResultsFolder(tmp_path / "a" / "b" / "out") as folder:
        fill(folder, np.zeros((2, 2), np.float32))
    with ResultsFolder(tmp_path / "a" / "out") as folder:
        fill(folder)
    folder.abort()
    assert names(tmp_path) == []


def test_parent_that_others_use_meanwhile_stays(tmp_path: Path) -> None:
    with ResultsFolder(tmp_path / "a" / "out"):
        (tmp_path / "a" / "other").mkdir()
    assert names(tmp_path / "a") == ["other"]


def test_empty_folder_may_be_there_already(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with ResultsFolder(tmp_path / "out") as folder:
        fill(folder)
        folder.commit()
    assert "run.json" in names(tmp_path / "out")


def test_folder_that_is_not_empty_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(OutputError, match="exists and is not empty; add --overwrite"):
        ResultsFolder(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_overwrite_replaces_as_a_whole_and_only_at_commit(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with ResultsFolder(tmp_path / "out", overwrite=True) as folder:
        fill(folder)
        assert names(tmp_path / "out") == ["old"]
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]
    with ResultsFolder(tmp_path / "out", overwrite=True) as folder:
        fill(folder)
        folder.commit()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["masks", "run.json", "tracks.csv", "tracks.npz"]


def test_failed_rename_brings_the_old_results_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    rename = Path.rename

    def fail_for_new(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with ResultsFolder(tmp_path / "out", overwrite=True) as folder:
        fill(folder)
        with pytest.raises(OutputError, match="Input/output error"):
            folder.commit()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


def test_something_that_appears_during_the_run_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out-2").touch()
    with ResultsFolder(tmp_path / "out") as folder:
        fill(folder)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").touch()
        assert folder.commit() == tmp_path / "out-3"
    assert names(tmp_path) == ["out", "out-2", "out-3"]
    assert names(tmp_path / "out") == ["theirs"]


def test_places_that_must_not_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    (work / "clip.mp4").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(work)
    for out, words in ((".", "working directory"), ("..", "holds the working directory"), ("clip.mp4", "is a file")):
        with pytest.raises(OutputError, match=words):
            ResultsFolder(out, overwrite=True)
    monkeypatch.chdir("/")
    for out in ("~", str(tmp_path)):
        with pytest.raises(OutputError, match="your home folder"):
            ResultsFolder(out, overwrite=True)
    with pytest.raises(OutputError, match="mount point"):
        ResultsFolder("/proc", overwrite=True)
    with pytest.raises(OutputError, match=r"holds the input .*clip\.mp4"):
        ResultsFolder(work, overwrite=True, keep=[work / "clip.mp4"])
    assert names(work) == ["clip.mp4"]


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=r"out cannot be written: no permission to write there"):
        ResultsFolder(tmp_path / "new" / "out")
    assert names(tmp_path) == []


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a part of the path is a file"):
        ResultsFolder(tmp_path / "file" / "out")
