"""The page of the fine stage: every row finds its figure, shares as percent, pixels as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import fgvc_deploy
import tiny_data
from fgvc_benchmarks.accuracy import fine_page
from fgvc_benchmarks.accuracy.base import Figures


def test_a_column_for_every_bundle_with_and_without() -> None:
    def figures(share: float) -> dict[str, Figures]:
        done: dict[str, Figures] = {}
        for row in fine_page.ROWS:
            done.setdefault(row.task, {})[row.figure] = share
        done["flow"]["end_point_error"] = 0.756
        done["planar"]["pts_within_1"] = None
        return done

    lines = fine_page.table({("edge", "off"): figures(0.5), ("edge", "patch"): figures(0.625)}).splitlines()
    assert lines[0] == "| | edge | with it |"
    assert lines[2] == "| planar, within 1 px |  |  |"
    assert "| **planar, average** | 50.0 | 62.5 |" in lines
    assert "| Middlebury, mean end-point error, px | 0.76 | 0.76 |" in lines
    assert len(lines) == 2 + len(fine_page.ROWS)


def test_every_figure_is_one_that_its_task_makes(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the planar clip is small enough to be made here; its rows must not come out empty."""
    tiny_data.write_planar(tmp_path / "planar_video", "poster", 4)
    monkeypatch.setattr(fine_page, "FOLDERS", {"planar": "planar_video"})
    monkeypatch.setattr(fine_page, "load", lambda path, threads: fgvc_deploy.load(toy_bundle, threads=threads))
    done = fine_page.figures("edge", "off", tmp_path, tmp_path / "records")
    wanted = [row.figure for row in fine_page.ROWS if row.task == "planar"]
    assert all(done["planar"][name] is not None for name in wanted)
    assert (tmp_path / "records" / "edge" / "planar.jsonl").exists()
