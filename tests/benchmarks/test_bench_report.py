"""Report and plots: what stands in them, what must not, and that drawing twice changes nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench_records import configuration, failed, ratio, record
from fgvc_benchmarks import plots
from fgvc_benchmarks.records import Record, append
from fgvc_benchmarks.report import write_report
from fgvc_deploy.errors import InputError


def latency_records() -> list[Record]:
    mine = configuration("latency")
    common: dict[str, Any] = {"configuration": mine, "started": "2026-02-01T00:00:00+00:00"}
    dense = record("dense pipeline", 20.0, params={"subject": "dense_tracker"}, **common)
    points = [
        record(f"points={n}", 0.3 + n / 1000, ratios={"speedup_over_dense": ratio(60.0)}, **common)
        for n in (1, 5, 256)
    ]
    sizes = [record(f"size={n}", n / 1000, group=f"size {n}", **common) for n in (128, 512)]
    memory = [record("memory=1", 0.123456, **common), failed("memory=20", **common)]
    return [*points, dense, *sizes, *memory]


def kernel_records() -> list[Record]:
    ratios = {"share_of_sgemm": ratio(1.25), "speedup_over_dense": ratio(140.0)}
    return [record("G/native", 0.15, ratios=ratios), record("G/sgemm", 0.09), failed("G/broken", "scores are wrong")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records, and the report drawn from them."""
    folder = tmp_path_factory.mktemp("results")
    append(folder / "latency.jsonl", latency_records())
    append(folder / "kernels.jsonl", kernel_records())
    write_report(folder)
    return folder


def test_every_measured_case_stands_in_the_report_with_its_figures(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    for case in [*latency_records(), *kernel_records()]:
        assert f"| {case.case} |" in text
    assert "| memory=1 | 0.1235 | 0.2222 |" in text
    assert "140 [126, 154]" in text
    assert "Test CPU" in text
    assert "commit aaaaaaaaaa," in text


def test_a_failed_case_has_a_reason_and_no_speed(folder: Path) -> None:
    rows = [line for line in (folder / "report.md").read_text().splitlines() if line.startswith("| G/broken")]
    assert len(rows) == 1
    assert rows[0].endswith("failed: scores are wrong |")
    assert not any(character.isdigit() for character in rows[0].split("failed")[0])


def test_plots_are_svg_with_units_and_are_all_referred_to(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    drawn = sorted(path.name for path in folder.glob("*.svg"))
    assert drawn == [
        "kernels_share_of_sgemm.svg",
        "kernels_speedup_over_dense.svg",
        "latency_points.svg",
        "latency_size.svg",
        "latency_stages.svg",
    ]
    assert all(f"]({name})" in text for name in drawn)
    words = " ".join(ET.parse(folder / "latency_points.svg").getroot().itertext())
    assert "seconds per frame" in words
    assert "dense reference pipeline: 20 s" in words


def test_drawing_again_changes_no_byte(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_report(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_failed_case_is_not_in_the_plot(folder: Path) -> None:
    """memory=20 failed, which leaves one point, and one point is no curve."""
    assert not (folder / "latency_memory.svg").exists()


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no benchmark records"):
        write_report(tmp_path)


def test_stages_and_the_rest_add_up_to_the_step() -> None:
    case = record("points=1", 0.4)
    assert sum(plots.stage_seconds(case).values()) == pytest.approx(0.4)
    assert plots.stage_seconds(case)["other"] == pytest.approx(0.2)
