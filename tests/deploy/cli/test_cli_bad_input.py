"""Bad input to `fgvc-deploy run`: exit code 2, one sentence that names the thing, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Fgvc = Callable[..., Any]

BAD: dict[str, tuple[list[object], str]] = {
    "no such file": (["nothing.mp4", "--grid", 2], "nothing.mp4"),
    "not a video": (["notes.txt", "--grid", 2], "notes.txt"),
    "an empty folder": (["empty", "--grid", 2], "empty"),
    "no name at all": (["", "--grid", 2], "empty"),
    "an animated picture": (["moving.webp", "--grid", 2], "moving.webp"),
    "a device that gives nothing": (["/dev/null", "--grid", 2], "/dev/null gives no video"),
    "nothing to track": (["VIDEO"], "exactly one"),
    "two things to track": (["VIDEO", "--grid", 2, "--mask", "mask.png"], "--grid and --mask"),
    "points without header": (["VIDEO", "--points", "headless.csv"], "headless.csv"),
    "points with text": (["VIDEO", "--points", "text.csv"], "text.csv"),
    "points that are NaN": (["VIDEO", "--points", "nan.csv"], "nan.csv"),
    "points outside": (["VIDEO", "--points", "outside.csv"], "outside"),
    "points on no frame": (["VIDEO", "--points", "late.csv"], "late.csv"),
    "no points": (["VIDEO", "--points", "none.csv"], "none.csv"),
    "a grid on no frame": (["VIDEO", "--grid", 2, "--query-frame", 99], "99"),
    "a mask on no frame": (["VIDEO", "--mask", "mask.png", "--query-frame", 99], "0 to 7"),
    "a frame for points that name theirs": (["VIDEO", "--points", "one.csv", "--query-frame", 2], "--query-frame"),
    "an order for a grid": (["VIDEO", "--grid", 2, "--query-order", "xyt"], "--query-order"),
    "mask of another size": (["VIDEO", "--mask", "small.png"], "small.png"),
    "empty mask": (["VIDEO", "--mask", "black.png"], "black.png"),
    "no such bundle": (["VIDEO", "--grid", 2, "--model", "nobundle"], "nobundle"),
    "unknown backend": (["VIDEO", "--grid", 2, "--backend", "abacus"], "abacus"),
    "unknown codec": (["VIDEO", "--grid", 2, "--codec", "xyz"], "xyz"),
    "unknown size": (["VIDEO", "--grid", 2, "--size", "big"], "big"),
    "a size too small": (["VIDEO", "--grid", 2, "--size", "16x16"], "16"),
}


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    texts = {
        "notes.txt": "not a video",
        "headless.csv": "1,2,3\n",
        "text.csv": "t,x,y\n0,here,3\n",
        "nan.csv": "t,x,y\n0,nan,3\n",
        "outside.csv": "t,x,y\n0,96,3\n",
        "late.csv": "t,x,y\n8,3,3\n",
        "none.csv": "t,x,y\n",
        "one.csv": "t,x,y\n0,3,3\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    pictures = [Image.fromarray(np.full((64, 96, 3), grey, np.uint8)) for grey in (0, 99)]
    pictures[0].save(tmp_path / "moving.webp", save_all=True, append_images=pictures[1:])
    Image.fromarray(np.ones((64, 96), np.uint8)).save(tmp_path / "mask.png")
    Image.fromarray(np.ones((32, 48), np.uint8)).save(tmp_path / "small.png")
    Image.fromarray(np.zeros((64, 96), np.uint8)).save(tmp_path / "black.png")


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("bad_files")
def test_bad_input_is_one_sentence_and_leaves_nothing(case: str, fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    arguments, named = BAD[case]
    before = sorted(tmp_path.iterdir())
    done = fgvc("run", *(video if a == "VIDEO" else a for a in arguments), "--out", "out")
    assert done.code == 2
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("fgvc-deploy: ")
    assert named in last
    assert "Traceback" not in done.err
    assert sorted(tmp_path.iterdir()) == before
