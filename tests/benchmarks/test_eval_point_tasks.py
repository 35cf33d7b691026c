"""TAP-Vid, JHMDB, flow and synthetic scenes in `fgvc-deploy eval`: protocol and scores, with known answers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiny_data
from fgvc_benchmarks.accuracy.base import EvalOptions, Scores
from fgvc_benchmarks.accuracy.tasks import synthetic
from fgvc_benchmarks.accuracy.tasks.flow import Flow
from fgvc_benchmarks.accuracy.tasks.jhmdb import Jhmdb
from fgvc_benchmarks.accuracy.tasks.points import PointTruth, score_points
from fgvc_benchmarks.accuracy.tasks.synthetic import Synthetic
from fgvc_benchmarks.accuracy.tasks.tapvid import TapVid
from fgvc_benchmarks.datasets.jhmdb import JhmdbClip
from fgvc_deploy.errors import InputError
from moving_square import MovingSquare

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
CORRECTED, REFERENCE = EvalOptions(), EvalOptions(compat="reference")


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    path = tmp_path / "tapvid_tiny.pkl"
    path.write_bytes(pickle.dumps({"square": tiny_data.tapvid_example(6)}))
    return path


def test_tapvid_first_queries_at_256(pickled: Path) -> None:
    task, run = TapVid(), MovingSquare(error=(1.0, 0.0))
    assert (task.size(CORRECTED), task.size(REFERENCE)) == ("256x256", "256x256")
    (clip,) = task.clips(pickled, CORRECTED)
    prediction = task.predict(clip, run, CORRECTED)
    queries = run.asked[0]["queries"]
    assert queries[:, 0].tolist() == [2, 0, 0, 0]  # the last joint is never visible
    np.testing.assert_allclose(queries[1, :0:-1], tiny_data.joints(0)[1], atol=1e-5)
    figures = task.score(clip, prediction, CORRECTED).figures
    # One pixel of 96 is 2.67 at 256; the model says everything is visible, which is true after each query.
    assert figures["average_pts_within_thresh"] == figures["average_jaccard"] == pytest.approx(0.6)
    assert figures["occlusion_accuracy"] == 1.0
    assert figures["ade_visible"] == pytest.approx(256 / 96, abs=1e-4)


def test_tapvid_strided_goes_both_ways_unless_reference(pickled: Path) -> None:
    task = TapVid()
    for base, both_ways in ((CORRECTED, True), (REFERENCE, False)):
        options, run = base.model_copy(update={"query_mode": "strided"}), MovingSquare()
        (clip,) = task.clips(pickled, options)
        task.predict(clip, run, options)
        assert run.asked[0]["bidirectional"] is both_ways
        assert run.asked[0]["queries"][:, 0].tolist() == [0, 0, 0, 5, 5, 5, 5]


def test_tapvid_reference_uses_raster_pixels(pickled: Path) -> None:
    run = MovingSquare()
    (clip,) = TapVid().clips(pickled, REFERENCE)
    TapVid().predict(clip, run, REFERENCE)
    np.testing.assert_allclose(run.asked[0]["queries"][1, :0:-1], tiny_data.joints(0)[1] + 0.5, atol=1e-5)


def test_tapvid_reference_equals_the_published_table(goldens: Goldens, parity: Parity) -> None:
    """Its model predicts no visibility, so visible=True must make no difference."""
    i = goldens("i_metrics")
    task, scores = TapVid(), {}
    for v in range(len(i["tapvid.gt_tracks_xy"])):
        truth = PointTruth(i["tapvid.query_frame"][v], i["tapvid.gt_tracks_xy"][v], i["tapvid.gt_occluded"][v])
        predicted = i["tapvid.pred_tracks_xy"][v]
        figures = score_points(truth, predicted, np.ones(predicted.shape[:2], bool), REFERENCE)
        scores[f"v{v}"] = Scores(figures=figures)
    averages = task.average(scores, REFERENCE)
    for name in ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy"):
        value = averages[name]
        assert value is not None
        error = abs(100 * value - float(i[f"tapvid.table3_official_allFalse.{name}"]))
        parity(group="i", case=f"eval.tapvid.{name}", value=error, budget=1e-12, unit="%")


def test_tapvid_corrected_equals_the_official_metric(goldens: Goldens, parity: Parity) -> None:
    """`strided` has no slip in the published code but the batch's occlusion accuracy, a third of that of a video."""
    i = goldens("i_metrics")
    options = EvalOptions(query_mode="strided")
    for v in range(len(i["tapvid.gt_tracks_xy"])):
        truth = PointTruth(i["tapvid.query_frame"][v], i["tapvid.gt_tracks_xy"][v], i["tapvid.gt_occluded"][v])
        visible = ~i["tapvid.pred_occluded"][v]
        figures = score_points(truth, i["tapvid.pred_tracks_xy"][v], visible, options)
        for name, factor in (("average_jaccard", 1), ("pts_within_4", 1), ("occlusion_accuracy", 1 / 3)):
            value = figures[name]
            assert value is not None
            error = abs(value * factor - float(i[f"tapvid.direct_strided.{name}"][v]))
            parity(group="i", case=f"eval.tapvid.v{v}.{name}", value=error, budget=1e-15, unit="share")


def test_jhmdb_counts_joints_over_all_videos(tmp_path: Path) -> None:
    tiny_data.write_jhmdb(tmp_path, "catch", "a", 3)
    tiny_data.write_jhmdb(tmp_path, "run", "b", 5)
    task, run = Jhmdb(), MovingSquare(error=(3.0, 0.0))
    clips = list(task.clips(tmp_path, CORRECTED))
    assert [clip.name for clip in clips] == ["catch/a", "run/b"]
    # The box is 0.6 * 28 on each side, so 3 px are .21 of 0.6 * 23.8.
    good = task.predict(clips[0], MovingSquare(), CORRECTED)
    bad = task.predict(clips[1], run, CORRECTED)
    assert run.asked[0]["keypoints"]
    scores = {"good": task.score(clips[0], good, CORRECTED), "bad": task.score(clips[1], bad, CORRECTED)}
    assert scores["bad"].figures["PCK@0.2"] == 0.0
    assert scores["bad"].figures["PCK@0.3"] == 100.0
    assert task.average(scores, CORRECTED)["PCK@0.2"] == pytest.approx(100 * 2 / (2 + 4))
    assert task.size(REFERENCE) == "320x320"


def test_jhmdb_reference_equals_the_published_code(goldens: Goldens, parity: Parity) -> None:
    i = goldens("i_metrics")
    task, scores = Jhmdb(), {}
    for v in range(3):
        joints = i[f"jhmdb.v{v}.gt_pos_img_1based"].transpose(1, 2, 0) - 1
        clip = JhmdbClip(f"v{v}", np.zeros((1, 2, 2, 3), np.uint8), joints)  # type: ignore[arg-type]
        scores[clip.name] = task.score(clip, i[f"jhmdb.v{v}.pred_xy"].transpose(1, 2, 0), REFERENCE)
    for name, value in task.average(scores, REFERENCE).items():
        assert value is not None
        parity(
            group="i", case=f"eval.jhmdb.{name}", value=abs(value - float(i[f"jhmdb.{name}"])), budget=1e-12, unit="%"
        )


def test_flow_follows_a_grid_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_data.write_flow(tmp_path, "Square")
    task, run = Flow(), MovingSquare()
    monkeypatch.setattr("fgvc_benchmarks.accuracy.tasks.flow.AT_ONCE", 50)
    (pair,) = task.clips(tmp_path, CORRECTED)
    prediction = task.predict(pair, run, CORRECTED)
    assert [len(call["queries"]) for call in run.asked] == [50, 50, 7]  # 9 x 12, less the corner without truth
    figures = task.score(pair, prediction, CORRECTED).figures
    # Right on the square, wrong by its motion on the ground that stands still.
    moving = (pair.flow[..., 0] == tiny_data.SHIFT[0])[4::8, 4::8].sum()
    assert figures["R0.5"] == pytest.approx(1 - moving / 107)
    assert figures["end_point_error"] == pytest.approx(np.sqrt(10) * (1 - moving / 107), abs=1e-5)


def test_synthetic_scenes_are_exact_repeatable_and_split(data_dir: Path) -> None:
    videos = synthetic.source_videos(data_dir / "davis16_train256", "calibration")
    assert [video.name for video in videos] == ["breakdance-flare", "flamingo", "lucia"]
    one, again = synthetic.make_clip(videos[:1], "calibration_00"), synthetic.make_clip(videos[:1], "calibration_00")
    assert np.array_equal(one.frames, again.frames)
    assert np.array_equal(one.tracks, again.tracks)
    other = synthetic.make_clip(videos[:1], "calibration_01")
    assert not np.array_equal(one.frames, other.frames)
    assert one.frames.shape == (24, 256, 256, 3)
    assert not one.occluded[:, 0].any()
    np.testing.assert_allclose(one.tracks[:, 0], one.queries_tyx[:, :0:-1], atol=1e-6)
    figures = Synthetic().score(one, exact(one), CORRECTED).figures
    assert (figures["average_jaccard"], figures["occlusion_accuracy"]) == (1.0, 1.0)


def exact(clip: synthetic.SyntheticClip) -> Any:
    return type("T", (), {"tracks": clip.tracks, "visible": ~clip.occluded})()


def test_synthetic_errors_for_people(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split 'val'"):
        synthetic.source_videos(tmp_path, "val")
    with pytest.raises(InputError, match="no scenes can be made"):
        synthetic.source_videos(tmp_path, "test")


def test_synthetic_splits_any_folder_in_two(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        tiny_data.write_davis(tmp_path, name, 2)
    names = [[video.name for video in synthetic.source_videos(tmp_path, split)] for split in synthetic.SPLITS]
    assert names == [["a", "c"], ["b"]]


def test_poisoned_pickle_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("owned",)

    path = tmp_path / "poisoned.pkl"
    path.write_bytes(pickle.dumps({"video": Evil()}))
    with pytest.raises(InputError, match=r"refused: it asks for builtins\.print"):
        list(TapVid().clips(path, CORRECTED))
