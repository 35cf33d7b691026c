"""Real signals to a real process: what is kept, what is said, and nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fgvc_deploy

ROOT = Path(fgvc_deploy.__file__).parents[1]
SLOW_FROM, STEP_SECONDS = 3, 0.4
# Announces every finished step, so that signals come at a known place, and takes its time over most of them.
CHILD = f"""
import itertools, time
from fgvc_deploy.cli import main
from fgvc_deploy.job.tasks import MaskTask, PointTask
def slowed(results):
    def slow_results(self, video, on_frame):
        count = itertools.count(1)
        def slow():
            print("step", step := next(count), flush=True)
            time.sleep({STEP_SECONDS} if step >= {SLOW_FROM} else 0)
            on_frame()
        return results(self, video, slow)
    return slow_results
PointTask.results = slowed(PointTask.results)
MaskTask.results = slowed(MaskTask.results)
main()
"""


class Run:
    """`fgvc-deploy run` of 12 frames in a process of its own; a grid of points unless `--mask` is given."""

    def __init__(self, folder: Path, *options: str) -> None:
        frames, self.out = folder / "frames", folder / "out"
        frames.mkdir()
        for t in range(12):
            Image.fromarray(np.full((48, 64, 3), 20 * t, np.uint8)).save(frames / f"{t}.png")
        what = [] if "--mask" in options else ["--grid", "2"]
        command = ["run", str(frames), *what, "--size", "native", "--out", str(self.out), *options]
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])},
        )

    def signal_in_step(self, step: int, number: signal.Signals) -> None:
        assert self.process.stdout
        while self.process.stdout.readline() != f"step {step}\n":
            assert self.process.poll() is None
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, the last line for people, and the steps that were announced after the last signal."""
        steps, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.strip().splitlines()[-1], steps

    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.parent.iterdir() if path.name != "frames")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """`start("--option")` -> Run, killed at the end should a test fail half-way."""
    runs: list[Run] = []

    def one(*options: str) -> Run:
        runs.append(Run(tmp_path, *options))
        return runs[-1]

    yield one
    for run in runs:
        run.process.kill()
        run.process.communicate()


@pytest.mark.parametrize(("number", "how"), [(signal.SIGINT, "with Ctrl-C"), (signal.SIGTERM, "by SIGTERM")])
def test_a_signal_keeps_finished_frames(number: signal.Signals, how: str, start: Callable[..., Run]) -> None:
    run = start()
    run.signal_in_step(4, number)
    assert run.end() == (128 + number, f"fgvc-deploy: stopped {how}: 4 frames done, kept in {run.out}.", "")
    report = json.loads((run.out / "run.json").read_text())
    assert report["faults"] == [{"frame_index": 4, "message": f"stopped {how}"}]
    with np.load(run.out / "tracks.npz") as saved:
        assert saved["tracks"].shape == (4, 4, 2)
    assert run.names() == ["out"]


def test_twice_in_a_hurry_is_once(start: Callable[..., Run]) -> None:
    run = start("--quiet")
    run.signal_in_step(4, signal.SIGINT)
    time.sleep(STEP_SECONDS / 4)
    run.process.send_signal(signal.SIGINT)
    assert run.end()[:2] == (130, f"fgvc-deploy: stopped with Ctrl-C: 4 frames done, kept in {run.out}.")
    assert run.names() == ["out"]


def test_both_ways_does_not_go_on_to_the_end(start: Callable[..., Run]) -> None:
    """Once it finished both passes first, and kept a single frame."""
    run = start("--bidirectional", "--json")
    run.signal_in_step(4, signal.SIGINT)
    code, last, steps = run.end()
    assert code == 130
    assert last.startswith("fgvc-deploy: stopped with Ctrl-C; the way back was not begun, ")
    assert "step" not in steps
    assert not any(name.startswith(".") for name in run.names())


def test_masks_on_the_way_back_are_kept_and_the_report_names_those_not_reached(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    """Once the empty masks were called done."""
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:40] = 7
    Image.fromarray(mask).save(tmp_path / "mask.png")
    run = start("--mask", str(tmp_path / "mask.png"), "--query-frame", "8", "--bidirectional")
    run.signal_in_step(4, signal.SIGINT)
    told = "stopped with Ctrl-C; the way back did not reach frames 0 to 4, where masks are empty"
    assert run.end() == (130, f"fgvc-deploy: {told}: 9 frames done, kept in {run.out}.", "")
    report = json.loads((run.out / "run.json").read_text())
    assert report["faults"] == [{"frame_index": 9, "message": told}]
    kept = [np.asarray(Image.open(path)) for path in sorted((run.out / "masks").iterdir())]
    assert [bool(one.any()) for one in kept] == [False] * 5 + [True] * 4
    np.testing.assert_array_equal(kept[8], mask)


def test_ctrl_c_during_the_imports_prints_no_traceback() -> None:
    code = (
        "import os, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        name == 'typer' and os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from fgvc_deploy.cli import main\n"
        "main(['--help'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "fgvc-deploy: stopped; nothing is kept.\n")
