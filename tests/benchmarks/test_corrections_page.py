"""Both compat modes scored alike: same protocol, only the tracker differs; record and page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import fgvc_deploy
import tiny_data
from fgvc_benchmarks import corrections


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_data.write_planar(tmp_path / "planar_video", "poster", 4)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    monkeypatch.setattr(corrections, "RESULT", tmp_path / "record.json")
    monkeypatch.setattr(corrections, "PAGE", page)
    monkeypatch.setattr(corrections, "FOLDERS", {"planar": "planar_video"})
    monkeypatch.setattr(corrections, "FIGURES", [f for f in corrections.FIGURES if f.task == "planar"])
    return tmp_path


def test_page_and_record_hold_both_modes(places: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["corrections", "--root", str(places), "--model", str(toy_bundle)])
    corrections.main()
    (scores,) = json.loads((places / "record.json").read_text())["scores"].values()
    assert set(scores) == {"reference", "corrected"}
    reference, corrected = (scores[mode]["poster"] for mode in ("reference", "corrected"))
    text = (places / "page.md").read_text()
    assert f"| planar <delta_avg | poster | {reference:.1f} | {corrected:.1f} |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text


def test_the_modes_differ_in_the_tracker_only(places: Path, toy_bundle: Path) -> None:
    """The reference's half feature of read-out bias shows as another mean error on the same clip."""
    model = fgvc_deploy.load(toy_bundle, threads=1)
    errors = [
        corrections.score(model, "planar", places / "planar_video", mode)["poster"].figures["ade"]
        for mode in corrections.MODES
    ]
    assert None not in errors
    assert errors[0] != errors[1]


def test_means_are_over_sequences() -> None:
    rows = {"J": {"reference": {"a": 50.0, "b": 60.0}, "corrected": {"a": 51.0, "b": 62.0}}}
    assert corrections.table(rows).splitlines()[-1] == "| J | **mean** | **55.0** | **56.5** |"  # type: ignore[arg-type]
