"""The settings study: resuming, paired differences; intervals and the cycle task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fgvc_deploy
import tiny_data
from fgvc_benchmarks.accuracy import study, study_page
from fgvc_benchmarks.accuracy.base import EvalOptions
from fgvc_benchmarks.accuracy.intervals import mean_interval
from fgvc_benchmarks.accuracy.study import Variant, run_study
from fgvc_benchmarks.accuracy.study_clips import study_clips
from fgvc_benchmarks.accuracy.tasks.cycle import PER_SIDE, Cycle
from moving_square import MovingSquare


def test_interval_covers_the_mean_and_needs_two() -> None:
    values = np.random.default_rng(0).normal(10, 1, 50).tolist()
    interval = mean_interval(values)
    assert interval.low is not None
    assert interval.high is not None
    # The standard error is 1 / sqrt(50) = .14, so 95 % is about +-.28.
    assert interval.high - interval.low == pytest.approx(4 * np.std(values) / np.sqrt(50), rel=0.1)
    assert interval.low < interval.mean < interval.high
    assert mean_interval([3.0]) == (3.0, None, None)
    assert mean_interval([3.0]).text() == "3.0"
    with pytest.raises(ValueError, match="nothing to average"):
        mean_interval([])


def test_cycle_starts_the_way_back_where_the_way_there_ended(tmp_path: Path) -> None:
    tiny_data.write_davis(tmp_path, "dog", 4)
    task, run = Cycle(), MovingSquare()
    (clip,) = task.clips(tmp_path / "JPEGImages", EvalOptions())
    prediction = task.predict(clip, run, EvalOptions())
    assert clip.name == "480p/dog"
    assert prediction.shape == (PER_SIDE**2, 2, 4, 2)
    there, back = (call["queries"] for call in run.asked)
    np.testing.assert_allclose(back[:, :0:-1], there[:, :0:-1] + 3 * tiny_data.SHIFT, atol=1e-5)
    # The stand-in moves forward both ways, so points return 2 * 3 steps off: 18 px right, 6 down, of 96 x 72.
    figures = task.score(clip, prediction, EvalOptions()).figures
    assert figures["returned_within_16"] == 0
    prediction[:, 1] = prediction[:, 0]
    assert task.score(clip, prediction, EvalOptions()).figures["average_returned_within_thresh"] == 1


def test_study_continues_across_commits_and_writes_paired_differences(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_data.write_planar(tmp_path / "planar_video", "poster", 4)

    def only_planar(data: Path) -> Any:
        return (pair for pair in study_clips(data) if pair[0].name == "planar")

    monkeypatch.setattr("fgvc_benchmarks.accuracy.study_clips.read_davis", lambda *_, **__: [])
    monkeypatch.setattr("fgvc_benchmarks.accuracy.study_clips.synthetic.source_videos", lambda *_: [])
    monkeypatch.setattr("fgvc_benchmarks.accuracy.study_clips.SCENES", 0)
    monkeypatch.setattr(study, "study_clips", only_planar)
    monkeypatch.setattr(study, "VARIANTS", (Variant("as shipped"), Variant("top 1", {"topk": 1})))
    model = fgvc_deploy.load(toy_bundle, threads=1)
    records = tmp_path / "study.jsonl"
    assert run_study(model, tmp_path, records, seconds=0)[1] == 2
    done, left = run_study(model, tmp_path, records, seconds=60)
    assert ([name for name, _ in done], left) == (["as shipped", "top 1"], 0)
    stored = [json.loads(line) for line in records.read_text().splitlines()]
    for line in stored:
        line["configuration"]["sources_sha256"] = "older code"
    records.write_text("".join(json.dumps(line) + "\n" for line in stored))
    again, left = run_study(model, tmp_path, records, seconds=0)
    assert (len(again), left) == (2, 0)
    record = study_page.study_record(done)
    gain = study_page.difference(record, "top 1", "as shipped", "planar", "ade")
    first, second = (row.figures["ade"] for row in record.rows)
    assert first is not None
    assert second is not None
    assert gain.mean == pytest.approx(second - first)
    shown = study_page.table(record).splitlines()
    assert shown[2].startswith("| as shipped | ")
    assert shown[3].split("|")[3:6] == ["  ", "  ", "  "]  # nothing was measured there
