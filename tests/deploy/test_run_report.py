"""run.json and the timing behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvc_deploy.errors import SourceFault
from fgvc_deploy.results import RunReport, StageTimer, UsageMeter, run_report
from fgvc_deploy.results.run_json import machine, peak_memory_bytes, versions
from fgvc_deploy.stages import Histogram
from fgvc_deploy.video import open_source


@given(st.lists(st.floats(2e-3, 1e6), min_size=1, max_size=300))
def test_percentiles_are_within_one_percent(durations: list[float]) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    for q in (0.0, 0.5, 0.95, 0.99, 1.0):
        exact = float(np.quantile(durations, q, method="inverted_cdf"))
        assert histogram.quantile(q) == pytest.approx(exact, rel=0.01)
    summary = histogram.summary()
    assert summary.count == len(durations)
    assert summary.mean_ms == pytest.approx(np.mean(durations))
    assert (summary.min_ms, summary.max_ms) == (min(durations), max(durations))
    assert summary.min_ms <= summary.p50_ms <= summary.p95_ms <= summary.p99_ms <= summary.max_ms


@pytest.mark.parametrize("duration", [0.0, 1e-9, 1e12])
def test_durations_outside_the_buckets(duration: float) -> None:
    histogram = Histogram()
    histogram.add(duration)
    assert histogram.quantile(0.5) == duration


def test_no_durations() -> None:
    assert Histogram().summary().model_dump() == dict.fromkeys(Histogram().summary().model_dump(), 0)
    assert StageTimer().summary() == {}


def test_stages_in_order_with_their_times() -> None:
    timer = StageTimer()
    for _ in range(3):
        with timer.stage("encode"):
            time.sleep(0.01)
        timer.add("propagate", 4.0)
    with pytest.raises(ZeroDivisionError), timer.stage("encode"):
        raise ZeroDivisionError
    summary = timer.summary()
    assert list(summary) == ["encode", "propagate"]
    assert summary["encode"].count == summary["propagate"].count == 3
    assert 10 <= summary["encode"].min_ms < 1000
    assert summary["propagate"].total_ms == 12.0


def test_timer_memory_is_constant() -> None:
    timer = StageTimer()
    timer.add("a", 1.0)
    before = timer._stages["a"]._counts.nbytes
    for _ in range(10_000):
        timer.add("a", 3.3)
    assert timer._stages["a"]._counts.nbytes == before < 12_000


def test_usage_counts_processor_time_of_all_threads_and_not_sleep() -> None:
    meter = UsageMeter()
    time.sleep(0.05)
    deadline = time.process_time() + 0.05
    while time.process_time() < deadline:
        pass
    usage = meter.read()
    assert usage.wall_seconds >= 0.1
    assert 0.05 <= usage.cpu_seconds < usage.wall_seconds


def test_peak_memory_is_this_process_own() -> None:
    code = "from fgvc_deploy.results.run_json import peak_memory_bytes; print(peak_memory_bytes())"
    ballast = np.ones(300 << 20, np.uint8)
    assert peak_memory_bytes() > ballast.nbytes
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment).stdout)
    assert 20 << 20 < child < ballast.nbytes


def test_machine_and_versions() -> None:
    here = machine()
    assert here.cores >= 1
    assert here.memory_bytes > 1 << 28
    assert here.cpu
    found = versions()
    assert found["numpy"] == np.__version__
    assert {"python", "av", "pillow"} <= set(found)
    assert "not-a-package" not in found


@pytest.mark.parametrize("fault", [None, SourceFault("clip.mp4: the file is cut short", 5)])
def test_report_round_trip(fault: SourceFault | None) -> None:
    timer, meter = StageTimer(), UsageMeter()
    timer.add("encode", 5.0)
    with open_source(np.zeros((7, 4, 6, 3), np.uint8)) as source:
        report = run_report(
            source=source,
            frames_read=5,
            network_hw=(256, 384),
            settings={"compat": "corrected", "size": None, "propagation": {"topk": 10}},
            backends={"encoder": "onnxruntime", "propagation": "numpy"},
            stages=timer.summary(),
            usage=meter.read(),
            fault=fault,
        )
    text = report.to_json()
    assert text.endswith("}\n")
    assert RunReport.model_validate_json(text) == report
    data = json.loads(text)
    assert data["schema_version"] == 1
    assert data["source"] == {
        "name": "array of 7 frames",
        "hw": [4, 6],
        "fps": None,
        "frames_announced": 7,
        "frames_read": 5,
    }
    assert data["stages"]["encode"]["p99_ms"] == 5.0
    assert data["frames_per_second"] == pytest.approx(5 / report.usage.wall_seconds)
    assert data["faults"] == ([{"frame_index": 5, "message": str(fault)}] if fault else [])
