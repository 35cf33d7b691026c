"""Results folders of other runs: alive, killed, or only named alike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fgvc_deploy.errors import OutputError
from fgvc_deploy.results import ResultsFolder
from fgvc_deploy.results import writer as writer_module


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_runs_into_one_folder(tmp_path: Path) -> None:
    with ResultsFolder(tmp_path / "out"):
        with pytest.raises(OutputError, match="being written by another run"):
            ResultsFolder(tmp_path / "out")
        with ResultsFolder(tmp_path / "out2") as other:
            other.commit()
    assert names(tmp_path) == ["out2"]


RUN = """
import sys, time
from fgvc_deploy.results import ResultsFolder
with ResultsFolder(sys.argv[1]) as folder:
    folder.write_text("run.json", "{}")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_killed_run_blocks_while_alive_and_is_cleaned_up_after(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(writer_module.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(OutputError, match=f"another run.*delete .*partial-{process.pid}"):
            ResultsFolder(tmp_path / "out")
        process.send_signal(signal.SIGKILL)
    assert names(tmp_path) == [f".out.partial-{process.pid}"]
    with ResultsFolder(tmp_path / "out") as folder:
        assert names(tmp_path) == [f".out.partial-{os.getpid()}"]
        folder.commit()
    assert names(tmp_path) == ["out"]


def test_run_killed_between_the_renames_is_repaired(tmp_path: Path) -> None:
    (tmp_path / ".out.replaced-123").mkdir()
    (tmp_path / ".out.replaced-123" / "old").touch()
    with pytest.raises(OutputError, match="not empty"):
        ResultsFolder(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


def test_fresh_folder_without_a_lock_is_given_time(tmp_path: Path) -> None:
    young = tmp_path / ".out.partial-99999"
    young.mkdir()
    with pytest.raises(OutputError, match="another run"):
        ResultsFolder(tmp_path / "out")
    os.utime(young, (time.time() - 60, time.time() - 60))
    with ResultsFolder(tmp_path / "out"):
        assert not young.exists()


def test_other_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    for name in (".out.partial-backup", ".out2.partial-1", ".outXpartial-1", "[o]ut.partial-1"):
        (tmp_path / name).mkdir()
    before = names(tmp_path)
    with ResultsFolder(tmp_path / "out"):
        pass
    assert names(tmp_path) == before


@pytest.mark.parametrize("existing", [(), ("out",)])
def test_folders_named_by_a_number_alone_are_nobodys_leftovers(existing: tuple[str, ...], tmp_path: Path) -> None:
    """Photos of a year beside the results: `2024` once counted as the left-over of process 2024, and was deleted."""
    for name in ("2024", *existing):
        (tmp_path / name).mkdir()
    (tmp_path / "2024" / "thesis.txt").touch()
    os.utime(tmp_path / "2024", (time.time() - 60, time.time() - 60))
    with ResultsFolder(tmp_path / "out") as folder:
        folder.commit()
    assert names(tmp_path / "2024") == ["thesis.txt"]
