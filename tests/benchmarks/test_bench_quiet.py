"""What other processes use is told apart from what the measured ones use."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fgvc_benchmarks import quiet
from fgvc_benchmarks.quiet import watch_bystanders

SPIN = [sys.executable, "-c", "while True: pass"]
needs_proc = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc")


@needs_proc
def test_a_busy_process_counts_unless_it_is_measured() -> None:
    with subprocess.Popen(SPIN) as spinner:
        try:
            with watch_bystanders([]) as strange:
                time.sleep(0.6)
            with watch_bystanders([spinner.pid]) as own:
                time.sleep(0.6)
            used_by_it = quiet._process_seconds(spinner.pid)
        finally:
            spinner.kill()
    assert strange.cores is not None
    assert own.cores is not None
    # Cores may be shared: the spinner gets some part of one, which has to show.
    assert used_by_it > 0.1
    assert strange.cores >= 0.1


@needs_proc
def test_own_work_is_not_a_bystander(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a machine whose only busy process is this one, nothing is left over."""
    monkeypatch.setattr(quiet, "_machine_seconds", time.process_time)
    with watch_bystanders([]) as others:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
    assert others.cores is not None
    assert others.cores < 0.1


def test_unknown_where_the_machine_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> float:
        raise OSError

    monkeypatch.setattr(quiet, "_machine_seconds", absent)
    with watch_bystanders([]) as others:
        pass
    assert others.cores is None


def test_a_process_that_ended_leaves_it_unknown() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        with watch_bystanders([process.pid]) as others:
            pass
    assert others.cores is None
