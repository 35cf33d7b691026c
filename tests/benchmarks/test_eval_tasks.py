"""Every data set of `fgvc-deploy eval`: protocol, score and average, on predictions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiny_data
from fgvc_benchmarks.accuracy.base import EvalOptions, Scores, fingerprint
from fgvc_benchmarks.accuracy.tasks.badja import Badja
from fgvc_benchmarks.accuracy.tasks.davis import Davis
from fgvc_benchmarks.accuracy.tasks.planar import Planar
from fgvc_benchmarks.datasets.badja import BadjaClip
from fgvc_benchmarks.datasets.davis import read_davis
from fgvc_benchmarks.metrics.badja import EVAL_HW, mask_area_at
from fgvc_deploy.errors import InputError
from moving_square import MovingSquare

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
CORRECTED, REFERENCE = EvalOptions(), EvalOptions(compat="reference")


def test_badja_follows_what_is_visible_and_averages_sequences(tmp_path: Path) -> None:
    tiny_data.write_badja(tmp_path, "dog", 6, hidden=(0,))
    tiny_data.write_badja(tmp_path, "camel", 4)
    task, run = Badja(), MovingSquare(error=(4.0, 0.0))
    camel, dog = task.clips(tmp_path, CORRECTED)
    prediction = task.predict(dog, run, CORRECTED)
    assert np.isnan(prediction[0]).all()
    np.testing.assert_allclose(run.asked[0]["queries"][:, [2, 1]], tiny_data.joints(0)[1:], atol=1e-9)
    assert not run.asked[0]["keypoints"]
    # Mask area 28^2: thresholds are 2.8, 5.6, 8.4 and 11.2 pixels.
    scores = {clip.name: task.score(clip, task.predict(clip, run, CORRECTED), CORRECTED) for clip in (camel, dog)}
    assert scores["dog"].figures == {"pck_0.1": 0.0, "pck_0.2": 100.0, "pck_0.3": 100.0, "pck_0.4": 100.0}
    assert scores["dog"].tallies["pck_0.2"] == (8, 8)
    assert scores["camel"].tallies["pck_0.1"] == (0, 5)
    assert task.average(scores, CORRECTED)["pck_0.2"] == 100.0


def test_badja_reference_follows_all_at_320x512(tmp_path: Path) -> None:
    tiny_data.write_badja(tmp_path, "dog", 6, hidden=(0,))
    task, run = Badja(), MovingSquare()
    (clip,) = task.clips(tmp_path, REFERENCE)
    assert (task.size(REFERENCE), task.size(CORRECTED)) == ("320x512", None)
    assert clip.mask_area[0] == mask_area_at(tiny_data.masks(1)[0])
    prediction = task.predict(clip, run, REFERENCE)
    assert len(run.asked[0]["queries"]) == 5
    assert run.asked[0]["keypoints"]
    assert task.score(clip, prediction, REFERENCE).tallies["pck_0.2"] == (14, 14)


def test_badja_reference_equals_the_published_code(goldens: Goldens, parity: Parity) -> None:
    """The golden predictions, through this task's scaling, scoring and averaging."""
    i = goldens("i_metrics")
    task, scores = Badja(), {}
    for v in (0, 1):
        segs = i[f"badja.v{v}.segs"]
        scale = np.array(EVAL_HW[::-1]) / np.array(segs.shape[:0:-1])
        clip = BadjaClip(
            f"v{v}",
            np.zeros((len(segs), *segs.shape[1:], 3), np.uint8),  # type: ignore[arg-type]
            i[f"badja.v{v}.joints_yx"][..., ::-1].transpose(1, 0, 2).astype(np.float64),
            i[f"badja.v{v}.visible"].T > 0,
            np.array([mask_area_at(mask) for mask in segs]),
        )
        predicted = i[f"badja.v{v}.pred_xy"].transpose(1, 2, 0) / scale
        scores[clip.name] = task.score(clip, predicted, REFERENCE)
    for name, value in task.average(scores, REFERENCE).items():
        assert value is not None
        error = abs(value - float(i[f"badja.PCK@{name.removeprefix('pck_')}"]))
        parity(group="i", case=f"eval.badja.{name}", value=error, budget=1e-12, unit="%")


def test_davis_equals_vos_benchmark(tmp_path: Path) -> None:
    """Averages are over objects, not over sequences: one sequence has two."""
    official = pytest.importorskip("vos_benchmark.benchmark", reason="pip install vos-benchmark==0.1.0")
    rng = np.random.default_rng(3)
    predicted: dict[str, list[NDArray[np.uint8]]] = {}
    for name, count in (("a", 4), ("b", 6)):
        tiny_data.write_davis(tmp_path, name, count, value=1)
        predicted[name] = [np.roll(mask, int(rng.integers(-6, 6)), 1) for mask in tiny_data.masks(count, 1)]
        if name == "b":
            for t, mask in enumerate(tiny_data.masks(count, 1)):
                mask[50:60, 5 + 2 * t : 25] = 2
                tiny_data.save(tmp_path / "Annotations" / "480p" / name / f"{t:05d}.png", mask)
                predicted[name][t][52:60, 3 : 20 + t] = 2
        for t, mask in enumerate(predicted[name]):
            tiny_data.save(tmp_path / "predicted" / name / f"{t:05d}.png", mask)
    task = Davis()
    scores = {
        clip.name: task.score(clip, predicted[clip.name], CORRECTED) for clip in task.clips(tmp_path, CORRECTED)
    }
    both = [str(tmp_path / "Annotations" / "480p")], [str(tmp_path / "predicted")]
    jf, j, f, _ = official.benchmark(*both, verbose=False, num_processes=1)
    ours = task.average(scores, CORRECTED)
    assert len(scores["b"].tallies["J-Mean"]) == 2
    for name, theirs in (("J&F-Mean", jf[0]), ("J-Mean", j[0]), ("F-Mean", f[0])):
        value = ours[name]
        assert value is not None
        assert abs(100 * value - theirs) < 1e-9, name
    assert ours["J-Mean"] != np.mean([scores[name].figures["J-Mean"] for name in scores])


def test_davis_2016_and_2017_by_list(tmp_path: Path) -> None:
    for name in ("goat", "dog"):
        tiny_data.write_davis(tmp_path, name, 4)
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("goat\n")
    task = Davis()
    listed = EvalOptions(split="val", year="2017")
    assert [clip.name for clip in task.clips(tmp_path, listed)] == ["goat"]
    assert [clip.name for clip in task.clips(tmp_path, CORRECTED)] == ["dog", "goat"]
    assert (task.headline(listed), task.headline(CORRECTED)) == ("J&F-Mean", "J-Mean")
    (goat,) = task.clips(tmp_path, listed)
    figures = task.score(goat, task.predict(goat, MovingSquare(), listed), listed).figures
    assert (figures["J-Mean"], figures["F-Mean"], figures["J-Decay"]) == (1.0, 1.0, 0.0)


def test_planar_scores_valid_frames_at_256(tmp_path: Path) -> None:
    tiny_data.write_planar(tmp_path, "poster", 5)
    task = Planar()
    (clip,) = task.clips(tmp_path, CORRECTED)
    error = (1.0, 0.0)  # 256 / 96 = 2.67 px at 256x256
    figures = task.score(clip, task.predict(clip, MovingSquare(error), CORRECTED), CORRECTED).figures
    assert [figures[f"pts_within_{t}"] for t in (1, 2, 4, 8, 16)] == [0, 0, 1, 1, 1]
    assert figures["average_pts_within_thresh"] == pytest.approx(0.6)
    assert figures["ade"] == pytest.approx(256 / 96, abs=1e-5)
    prediction = task.predict(clip, MovingSquare(), CORRECTED)
    prediction[:, -1] += 50  # no valid homography
    prediction[:, 0] += 50  # given
    assert task.score(clip, prediction, CORRECTED).figures["average_pts_within_thresh"] == 1.0


def test_half_a_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="joint annotations"):
        list(Badja().clips(tmp_path, CORRECTED))
    with pytest.raises(InputError, match="Annotations"):
        list(Davis().clips(tmp_path, CORRECTED))
    with pytest.raises(InputError, match="no folder"):
        list(Planar().clips(tmp_path / "nothing", CORRECTED))
    tiny_data.write_planar(tmp_path, "poster", 3)
    (tmp_path / "poster" / "0001.jpg").unlink()
    with pytest.raises(InputError, match=r"1 frames .* missing"):
        list(Planar().clips(tmp_path, CORRECTED))


def test_fingerprint_follows_files_and_truth(tmp_path: Path) -> None:
    tiny_data.write_davis(tmp_path, "dog", 3)
    (clip,) = read_davis(tmp_path)
    before = fingerprint(clip)
    assert fingerprint(read_davis(tmp_path)[0]) == before
    tiny_data.save(clip.mask_paths[1], tiny_data.masks(9)[8])
    assert fingerprint(clip) != before
    other = BadjaClip("x", clip.frames, np.zeros((1, 3, 2)), np.ones((1, 3), bool), np.ones(3, np.int64))
    moved = other._replace(joints=other.joints + 1)
    assert fingerprint(other) != fingerprint(moved)


def test_a_figure_without_counts_is_none_and_left_out(tmp_path: Path) -> None:
    some, none = Scores(figures={"pck_0.2": 50.0}), Scores(figures={"pck_0.2": None})
    assert Badja().average({"a": some, "b": none}, CORRECTED) == {"pck_0.2": 50.0}
    assert Badja().average({"b": none}, CORRECTED) == {"pck_0.2": None}
