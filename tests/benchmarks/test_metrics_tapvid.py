"""TAP-Vid metrics and queries: goldens i under `reference`, then small cases with answers counted by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_benchmarks.metrics.queries import sample_queries_first, sample_queries_strided
from fgvc_benchmarks.metrics.tapvid import QueryMode, TrackedVideos, average_over_videos, tapvid_metrics
from fgvc_benchmarks.metrics.tapvid_points import average_over_points, point_scores, visible_chain

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
INPUTS = ("query_frame", "gt_occluded", "gt_tracks_xy", "pred_occluded", "pred_tracks_xy")


def under(i: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    found = {key.removeprefix(prefix): value for key, value in i.items() if key.startswith(prefix)}
    assert found
    return found


def golden_videos(i: Mapping[str, NDArray[Any]]) -> TrackedVideos:
    return TrackedVideos(*(i[f"tapvid.{name}"] for name in INPUTS))


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_whole_videos_match(goldens: Goldens, parity: Parity, mode: QueryMode) -> None:
    i = goldens("i_metrics")
    metrics = tapvid_metrics(golden_videos(i), mode, reference=True)
    expected = under(i, f"tapvid.direct_{mode}.")
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
        # The same integer counts, divided.
        error = np.abs(metrics[name] - values).max()
        parity(group="i", case=f"tapvid.direct_{mode}.{name}", value=error, budget=1e-15, unit="share")


@pytest.mark.parametrize("variant", ["official_allFalse", "with_pred_occ"])
def test_per_point_scores_and_tables_match(goldens: Goldens, parity: Parity, variant: str) -> None:
    i = goldens("i_metrics")
    videos = golden_videos(i)
    if variant == "official_allFalse":  # the published model predicts no visibility: everything is "occluded"
        videos = videos._replace(pred_occluded=np.ones_like(videos.pred_occluded))
    count, points = videos.query_frames.shape
    scores = [[point_scores(videos, v, p, reference=True) for p in range(points)] for v in range(count)]
    expected = under(i, f"tapvid.persummary_{variant}.")
    assert scores[0][0].keys() == expected.keys()
    for name, values in expected.items():
        ours = np.array([[point[name] for point in video] for video in scores])
        assert np.array_equal(np.isnan(ours), np.isnan(values)), name
        error = np.nanmax(np.abs(ours - values))
        # Published distances are float32 means of 20 values up to 60 px; all else is a quotient of counts.
        budget = 4e-6 if name.startswith("ade") else 1e-12
        parity(group="i", case=f"tapvid.persummary_{variant}.{name}", value=error, budget=budget, unit="% or px")
    table = average_over_points(scores)
    for name, value in under(i, f"tapvid.table3_{variant}.").items():
        error = abs(table[name] - float(value))
        parity(group="i", case=f"tapvid.table3_{variant}.{name}", value=error, budget=1e-12, unit="%")


@pytest.mark.parametrize("mode", ["first", "strided"])
def test_queries_match(goldens: Goldens, parity: Parity, mode: str) -> None:
    i = goldens("i_metrics")
    sample = sample_queries_first if mode == "first" else sample_queries_strided
    pixels = i["queries.in_points01"] * 256  # 0..1 of a 256x256 frame, without half a pixel (goldens item 1)
    queries = sample(pixels, i["queries.in_occluded"])
    for name, ours in (
        ("query_points_tyx", queries.queries_tyx),
        ("occluded", queries.occluded),
        ("target_points", queries.tracks),
    ):
        expected = i[f"queries.{mode}.{name}"][0]
        assert ours.shape == expected.shape
        error = np.abs(ours.astype(float) - expected).max()
        parity(group="i", case=f"queries.{mode}.{name}", value=error, budget=0, unit="input units")
    assert np.array_equal(pixels[queries.track_ids], queries.tracks)


def one_point(query: int, hidden: str, predicted_hidden: str, errors: list[float]) -> TrackedVideos:
    """One video, one point; `errors` are distances along x; "x" marks occluded frames."""
    truth = np.full((1, 1, len(errors), 2), 100.0)
    predicted = truth + np.stack((errors, np.zeros(len(errors))), -1)
    gt_occluded, pred_occluded = (np.array([[[c == "x" for c in text]]]) for text in (hidden, predicted_hidden))
    return TrackedVideos(np.array([[query]]), gt_occluded, truth, pred_occluded, predicted)


def test_first_mode_scores_only_later_frames() -> None:
    """Frames 0 and 1 precede the query at 2; after it: right, 3 px off, rightly hidden, wrongly hidden."""
    case = one_point(2, "xx...x.", ".....xx", [0, 0, 0, 0.5, 3, 0, 0])
    metrics = tapvid_metrics(case, "first")
    assert metrics["occlusion_accuracy"] == 3 / 4
    assert metrics["pts_within_1"] == 2 / 3
    assert metrics["pts_within_4"] == 1
    assert metrics["jaccard_1"] == 1 / (3 + 1)
    assert metrics["jaccard_4"] == 2 / 3
    assert metrics["average_jaccard"] == pytest.approx((2 * 1 / 4 + 3 * 2 / 3) / 5)
    published = tapvid_metrics(case, "first", reference=True)
    assert published["occlusion_accuracy"] == 3 / 6
    assert published["jaccard_1"] == 1 / (3 + 1 + 2)


def test_threshold_is_strict() -> None:
    metrics = tapvid_metrics(one_point(0, "...", "...", [0, 1.0, 0.999]), "strided")
    assert metrics["pts_within_1"] == 0.5


def test_occlusion_accuracy_of_a_video_does_not_depend_on_the_batch() -> None:
    case = one_point(0, "..x.", "..xx", [0, 0, 0, 0])
    single = tapvid_metrics(case, "first")["occlusion_accuracy"]
    batch = TrackedVideos(*(np.repeat(array, 3, axis=0) for array in case))
    assert np.array_equal(tapvid_metrics(batch, "first")["occlusion_accuracy"], np.repeat(single, 3))
    published = tapvid_metrics(batch, "first", reference=True)["occlusion_accuracy"]
    assert published == pytest.approx(np.repeat(single / 3, 3))


def test_published_first_filter_drops_rows_of_never_visible_points() -> None:
    """The slip itself: row 0 is never visible, so it is dropped; row 1 keeps all its frames."""
    rows = one_point(0, "xxxx", "xxxx", [0] * 4), one_point(1, "x...", ".xxx", [0, 0, 9, 0])
    both = TrackedVideos(*(np.concatenate(pair, axis=1) for pair in zip(*rows, strict=True)))
    published = tapvid_metrics(both, "first", reference=True)
    assert published["occlusion_accuracy"] == 0.0
    assert published["pts_within_1"] == 0.5


def test_nothing_to_score_is_nan_and_left_out() -> None:
    empty = tapvid_metrics(one_point(0, ".xx", "xxx", [0, 0, 0]), "first")
    full = tapvid_metrics(one_point(0, "...", "...", [0, 0, 0]), "first")
    assert np.isnan(empty["average_pts_within_thresh"])
    assert average_over_videos([empty, full])["average_pts_within_thresh"] == 1.0
    with pytest.raises(ValueError, match="at least one"):
        average_over_videos([])


def test_missing_predictions_count_as_wrong() -> None:
    metrics = tapvid_metrics(one_point(1, "...", "...", [np.nan, 0, 0]), "strided")
    assert metrics["pts_within_16"] == 0.5


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'first' or 'strided'"):
        tapvid_metrics(one_point(0, "..", "..", [0, 0]), "last")  # type: ignore[arg-type]


def test_visible_chain() -> None:
    visible = np.array([True, False, True, True, True, False, True])
    assert visible_chain(visible, 3) == slice(2, 5)
    assert visible_chain(visible, 0) == slice(0, 1)
    assert visible_chain(visible, 6) == slice(6, 7)
    with pytest.raises(ValueError, match="must be visible"):
        visible_chain(visible, 1)
