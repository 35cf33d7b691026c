"""`fgvc-deploy run` from the outside: files, exit codes, and nothing left behind by a run that failed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import fgvc_deploy
from fgvc_deploy.job import Job

Fgvc = Callable[..., Any]
FAST = ("--size", "native", "--quiet")


def _mask(path: Path) -> Path:
    mask = np.zeros((64, 96), np.uint8)
    mask[10:40, 20:60] = 3
    Image.fromarray(mask).save(path)
    return path


def test_a_grid_gives_tracks_table_overlay_and_report(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    done = fgvc("run", video, "--grid", 3, "--out", "out", *FAST)
    assert done == (0, "", "")
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["overlay.mp4", "run.json", "tracks.csv", "tracks.npz"]
    with np.load(out / "tracks.npz", allow_pickle=False) as saved:
        assert saved["tracks"].shape == (9, 8, 2)
        assert saved["visible"].shape == saved["confidence"].shape == (9, 8)
        np.testing.assert_allclose(saved["queries_tyx"][4], [0, 31.5, 47.5])
        np.testing.assert_allclose(saved["tracks"][:, 0], saved["queries_tyx"][:, :0:-1], atol=1e-3)
        # The picture moves 2 pixels a frame to the right.
        moved = np.median(saved["tracks"][:, 5] - saved["tracks"][:, 0], axis=0)
    np.testing.assert_allclose(moved, [10, 0], atol=2.5)
    with (out / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    with av.open(str(out / "overlay.mp4")) as overlay:
        assert overlay.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in overlay.decode(video=0)) == 8
    report = json.loads((out / "run.json").read_text())
    assert report["source"]["frames_read"] == 8
    assert report["faults"] == []
    assert set(report["stages"]) == {
        "read",
        "picture",
        "preprocess",
        "encode",
        "prepare",
        "propagate",
        "readout",
        "fine",
        "frame",
        "write",
    }
    assert report["stages"]["frame"]["count"] == report["stages"]["read"]["count"] == 8
    asked = {name: report["settings"][name] for name in ("track", "queries", "query_frame", "codec", "points")}
    assert asked == {"track": "grid", "queries": None, "query_frame": 0, "codec": "h264", "points": 9}
    assert report["usage"]["peak_memory_bytes"] > 0


def test_the_tracks_are_those_of_the_python_interface(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    fgvc("run", video, "--grid", 3, "--out", "out", "--no-overlay", *FAST)
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        tracks = fgvc_deploy.load().track(video, saved["queries_tyx"], size="native")
        np.testing.assert_array_equal(saved["tracks"], tracks.tracks)
        np.testing.assert_array_equal(saved["visible"], tracks.visible)


def test_points_from_a_table(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y,t\n20,30,0\n40,31.5,3\n")
    assert fgvc("run", video, "--points", "points.csv", "--out", "out", "--no-overlay", *FAST).code == 0
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert np.isnan(saved["tracks"][1, :3]).all()
        np.testing.assert_allclose(saved["tracks"][1, 3], [40, 31.5], atol=1e-3)


def test_bidirectional_leaves_no_gap(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    done = fgvc("run", video, "--grid", 2, "--query-frame", 4, "--bidirectional", "--out", "out", *FAST)
    assert done.code == 0
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert np.isfinite(saved["tracks"]).all()


def test_a_round_trip_says_how_far_from_home(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    assert fgvc("run", video, "--grid", 2, "--round-trip", "--out", "out", "--no-overlay", *FAST).code == 0
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert saved["gap"].shape == saved["visible"].shape
        assert np.isfinite(saved["gap"][:, 0]).any()
    header, first, *_ = (tmp_path / "out" / "tracks.csv").read_text().splitlines()
    assert header == "point,t,x,y,visible,confidence,gap"
    assert float(first.split(",")[-1]) >= 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["round_trip"] is True


@pytest.mark.parametrize("wrong", [("--mask", "first.png"), ("--grid", 2, "--compat", "reference")])
def test_a_round_trip_is_refused_where_it_means_nothing(
    wrong: tuple[object, ...], fgvc: Fgvc, video: Path, tmp_path: Path
) -> None:
    _mask(tmp_path / "first.png")
    done = fgvc("run", video, *wrong, "--round-trip", "--out", "out")
    assert done.code == 2
    assert "--round-trip is" in done.err
    assert not (tmp_path / "out").exists()


def test_a_mask_gives_palette_masks(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    _mask(tmp_path / "first.png")
    assert fgvc("run", video, "--mask", "first.png", "--out", "out", *FAST).code == 0
    pictures = sorted((tmp_path / "out" / "masks").iterdir())
    assert [p.name for p in pictures] == [f"{t:05d}.png" for t in range(8)]
    with Image.open(pictures[5]) as picture:
        assert picture.mode == "P"
        assert set(np.unique(np.asarray(picture))) == {0, 3}


def test_named_keypoints(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    (tmp_path / "pose.json").write_text(json.dumps({"keypoints": {"nose": [30, 30], "ear": [50.5, 20]}}))
    assert fgvc("run", video, "--keypoints", "pose.json", "--out", "out", "--no-overlay", *FAST).code == 0
    with np.load(tmp_path / "out" / "tracks.npz") as saved:
        assert saved["names"].tolist() == ["nose", "ear"]
        assert saved["tracks"].shape == (2, 8, 2)


def test_coarse_to_fine_is_asked_for_by_name(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    done = fgvc("run", video, "--grid", 2, "--mode", "coarse-to-fine", "--out", "out", "--no-overlay", *FAST)
    assert done.code == 0
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["settings"]["propagation"]["mode"] == "coarse_to_fine"
    assert report["backends"]["propagation"] != "numpy"


def test_the_fine_stage_is_asked_for_by_name(fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    tracks = {}
    for option, name in (("--fine", "patch"), ("--no-fine", "off")):
        assert fgvc("run", video, "--grid", 3, option, "--out", name, "--no-overlay", *FAST).code == 0
        report = json.loads((tmp_path / name / "run.json").read_text())
        assert report["settings"]["propagation"]["fine"] == name
        assert ("fine" in report["stages"]) == (name == "patch")
        with np.load(tmp_path / name / "tracks.npz") as saved:
            tracks[name] = saved["tracks"]
    moved = tracks["patch"][:, 5] - tracks["patch"][:, 0]
    # The picture moves 2 pixels a frame; H.264 leaves the noise a little changed.
    assert np.abs(np.median(moved, axis=0) - [10, 0]).max() < 0.2
    assert not np.array_equal(tracks["patch"], tracks["off"])


@pytest.mark.parametrize("kind", ["mask", "keypoints", "reference"])
def test_the_fine_stage_is_refused_where_it_does_nothing(kind: str, fgvc: Fgvc, video: Path, tmp_path: Path) -> None:
    (tmp_path / "pose.json").write_text(json.dumps({"keypoints": {"nose": [30, 30]}}))
    what = {
        "mask": ("--mask", _mask(tmp_path / "first.png")),
        "keypoints": ("--keypoints", tmp_path / "pose.json"),
        "reference": ("--grid", 2, "--compat", "reference"),
    }[kind]
    done = fgvc("run", video, *what, "--fine", "--out", "out", *FAST)
    assert done.code == 2
    assert "--fine" in done.err
    assert not (tmp_path / "out").exists()


def test_json_is_the_only_output(fgvc: Fgvc, video: Path) -> None:
    done = fgvc("run", video, "--grid", 2, "--out", "out", "--no-overlay", "--size", "native", "--json")
    answer = json.loads(done.out)
    assert done.err == ""
    assert answer["frames"] == 8
    assert answer["points"] == 4


def test_plain_lines_without_a_terminal(fgvc: Fgvc, video: Path) -> None:
    done = fgvc("run", video, "--grid", 2, "--out", "out", "--no-overlay", "--size", "native")
    assert "8 of 8" in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    ("what", "steps"),
    [
        (("--grid", 2, "--query-frame", 4), 8),
        (("--grid", 2, "--query-frame", 4, "--bidirectional"), 8 + 5),
        (("--grid", 2, "--query-frame", 4, "--round-trip"), 8 + 4),
        (("--grid", 2, "--query-frame", 4, "--bidirectional", "--round-trip"), 8 + 5 + 4 + 5),
        (("--mask", "first.png", "--query-frame", 4), 4),
        (("--mask", "first.png", "--query-frame", 4, "--bidirectional"), 5 + 4),
    ],
)
def test_progress_ends_at_its_total(
    what: tuple[object, ...], steps: int, fgvc: Fgvc, video: Path, tmp_path: Path
) -> None:
    _mask(tmp_path / "first.png")
    done = fgvc("run", video, *what, "--size", "native", "--no-overlay", "--out", "out")
    assert f": {steps} of {steps}\n" in done.err


@pytest.mark.parametrize(
    ("source", "folder"),
    [("frames/*.png", "source"), ("a/clip.mp4", "clip"), ("rtsp://me:secret@camera", "camera"), ("0", "0")],
)
def test_the_default_folder_is_named_after_the_source(source: str, folder: str) -> None:
    assert Job(source=source, grid=2).folder == Path("fgvc-out") / folder
