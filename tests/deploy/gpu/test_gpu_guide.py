"""docs/edge.md: its program runs as printed, its formula is what the pool holds, its table is the code's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engines import split_backend
from fgvc_deploy.gpu.cubins.chips import NAMES, runs_on
from fgvc_deploy.gpu.stream.tables import CAPACITY
from fgvc_deploy.trackers.points import PointTracker

from .conftest import CHANNELS, STRIDE, Engines

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "edge.md"


def test_the_embedding_example_runs_as_printed() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 12
    assert lines[0] == ["0", "0", "40.0", "30.0", "visible"]
    assert {line[1] for line in lines} == {"0", "1"}


def test_every_backend_in_the_table_is_known() -> None:
    rows = re.findall(
        r"^\| `([a-z+-]+)`(?:, `([a-z+-]+)`)? \|.*\| (?:GPU|CPU) \|$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
    names = [name for row in rows for name in row if name]
    assert len(names) == 7
    for name in names:
        assert split_backend(name)


def test_the_rules_for_chips_are_the_codes() -> None:
    assert [gpu for gpu in NAMES if runs_on("sm_80", gpu)] == ["sm_80", "sm_86", "sm_89"]
    assert [gpu for gpu in NAMES if runs_on("sm_87", gpu)] == ["sm_87"]
    assert [gpu for gpu in NAMES if runs_on("sm_90", gpu)] == ["sm_90"]


@pytest.mark.parametrize("points", [1, 6])
def test_the_memory_formula(engines: Engines, clip: NDArray[np.uint8], points: int) -> None:
    """The formula, and beside it the frame, two sets of tables, and the read-out's few kilobytes."""
    _, gpu = engines()
    tracker = PointTracker(gpu)
    tracker.add_points(np.tile([[20.0, 12.0]], (points, 1)))
    for frame in clip[:10]:
        tracker.step(frame)
    memory, k = gpu.propagation.memory, gpu.propagation.topk
    pixels = -(-clip.shape[1] // STRIDE) * -(-clip.shape[2] // STRIDE)
    features = pixels * CHANNELS * 4 * (memory + 5)  # fp32 in this test
    labels = pixels * 4 * -(-points // 4) * 4 * (memory + 3)
    matches = pixels * k * 8
    frame_bytes, tables = pixels * CHANNELS * 4, 2 * 4 * CAPACITY
    rest = gpu.session.pool.bytes - features - labels - matches - frame_bytes - tables
    assert 0 <= rest < 16 << 10
