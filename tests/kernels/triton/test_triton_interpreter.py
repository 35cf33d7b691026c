"""Runs every file of `interpreted/` in a process with TRITON_INTERPRET=1, and shows what pytest said there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "interpreted"
ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(FOLDER.glob("test_*.py"))


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed: pip install triton")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="this process already interprets")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem.removeprefix("test_interpreted_"))
def test_in_the_interpreter(file: Path) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout, ran.stdout


def test_there_are_files_to_run() -> None:
    assert len(FILES) >= 7


def test_the_interpreter_stays_out_of_this_process() -> None:
    """The ahead-of-time tests share this process and need compiled functions."""
    if os.environ.get("TRITON_INTERPRET") != "1" and "triton" in sys.modules:
        from triton.runtime.jit import JITFunction

        from fgvc_kernels.triton.propagate import propagate_kernel

        assert isinstance(propagate_kernel, JITFunction)
