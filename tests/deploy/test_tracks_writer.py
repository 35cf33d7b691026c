"""Tracks on disk: the same numbers as were given, in constant memory; full disks are noticed."""

from __future__ import annotations

import errno
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_deploy.errors import OutputError
from fgvc_deploy.results import MaskWriter, ResultsFolder, TracksWriter, tracks_writer
from fgvc_deploy.results.disk import disk_errors
from full_disk import file_size_limit


class Made(NamedTuple):
    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    queries: NDArray[np.float32]


def make(frames: int, points: int) -> Made:
    rng = np.random.default_rng(frames * 1000 + points)
    xy = (rng.random((frames, points, 2)) * 500).astype(np.float32)
    if frames and points:
        xy[: frames // 2, 0] = np.nan
    confidence = rng.random((frames, points)).astype(np.float32)
    return Made(xy, confidence > 0.5, confidence, rng.random((points, 3)).astype(np.float32))


def write(folder: Path, made: Made, **options: bool | list[str] | None) -> TracksWriter:
    writer = TracksWriter(folder, made.queries, **options)  # type: ignore[arg-type]
    for row in zip(made.xy, made.visible, made.confidence, strict=True):
        writer.write(*row)
    return writer


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.integers(0, 9), points=st.integers(1, 7), block=st.sampled_from([1, 40, 300, 1 << 20]))
def test_npz_holds_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, points: int, block: int
) -> None:
    monkeypatch.setattr(tracks_writer, "_BLOCK_BYTES", block)
    monkeypatch.setattr(tracks_writer, "_CHUNK_BYTES", block // 3)
    made = make(frames, points)
    write(tmp_path, made).close()
    with np.load(tmp_path / "tracks.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"tracks", "visible", "confidence", "queries_tyx"}
        assert [archive[name].dtype for name in archive.files] == [np.float32, np.bool_, np.float32, np.float32]
        np.testing.assert_array_equal(archive["tracks"], made.xy.transpose(1, 0, 2))
        np.testing.assert_array_equal(archive["visible"], made.visible.T)
        np.testing.assert_array_equal(archive["confidence"], made.confidence.T)
        np.testing.assert_array_equal(archive["queries_tyx"], made.queries)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tracks.csv", "tracks.npz"]


def test_csv_has_a_line_for_every_position(tmp_path: Path) -> None:
    made = make(4, 3)
    write(tmp_path, made).close()
    header, *lines = (tmp_path / "tracks.csv").read_text().splitlines()
    assert header == "point,t,x,y,visible,confidence"
    table = np.array([line.split(",") for line in lines], float)
    t, point = np.nonzero(np.isfinite(made.xy[..., 0]))
    np.testing.assert_array_equal(table[:, :2], np.stack([point, t], axis=1))
    np.testing.assert_allclose(table[:, 2:4], made.xy[t, point], atol=5.1e-4)
    np.testing.assert_array_equal(table[:, 4], made.visible[t, point])
    np.testing.assert_allclose(table[:, 5], made.confidence[t, point], atol=5.1e-5)


def test_gaps_are_written_when_points_were_followed_back(tmp_path: Path) -> None:
    made = make(4, 3)
    gap = np.where(made.confidence > 0.4, 10 * made.confidence, np.nan).astype(np.float32)
    writer = TracksWriter(tmp_path, made.queries, gap=True)
    for row in zip(made.xy, made.visible, made.confidence, gap, strict=True):
        writer.write(*row)
    with pytest.raises(ValueError, match="confidence, gap, got"):
        writer.write(made.xy[0], made.visible[0], made.confidence[0])
    writer.close()
    with np.load(tmp_path / "tracks.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["gap"], gap.T)
    header, *lines = (tmp_path / "tracks.csv").read_text().splitlines()
    assert header == "point,t,x,y,visible,confidence,gap"
    t, point = np.nonzero(np.isfinite(made.xy[..., 0]))
    written = [float(line.split(",")[6] or "nan") for line in lines]
    np.testing.assert_allclose(written, gap[t, point], atol=5.1e-4)


def test_names_and_no_csv(tmp_path: Path) -> None:
    write(tmp_path, make(2, 2), csv=False, names=["eye", "tail ü"]).close()
    with np.load(tmp_path / "tracks.npz", allow_pickle=False) as archive:
        assert archive["names"].tolist() == ["eye", "tail ü"]
    assert not (tmp_path / "tracks.csv").exists()


def test_equal_tracks_are_equal_files(tmp_path: Path) -> None:
    made = make(5, 3)
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, made).close()
    assert (tmp_path / "a" / "tracks.npz").read_bytes() == (tmp_path / "b" / "tracks.npz").read_bytes()


def test_wrong_shapes_are_refused(tmp_path: Path) -> None:
    writer = TracksWriter(tmp_path, np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="expected 3 points' tracks, visible, confidence, got"):
        writer.write(np.zeros((2, 2), np.float32), np.ones(2, bool), np.ones(2, np.float32))
    writer.abort()


def test_memory_does_not_depend_on_the_number_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracks_writer, "_BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(tracks_writer, "_CHUNK_BYTES", 1 << 16)
    row = make(1, 32)
    peaks = []
    for frames in (1_000, 20_000):
        folder = tmp_path / str(frames)
        folder.mkdir()
        tracemalloc.start()
        writer = TracksWriter(folder, row.queries, csv=False)
        for _ in range(frames):
            writer.write(row.xy[0], row.visible[0], row.confidence[0])
        writer.close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 20 000 frames are 8.3 MB of tracks; the block is 0.26 MB and is held twice while it is written.
    assert peaks[1] < 2**20
    assert peaks[1] < peaks[0] + 2**19


def run(folder: ResultsFolder, made: Made) -> None:
    writer = folder.attach(TracksWriter(folder.path, made.queries))
    for row in zip(made.xy, made.visible, made.confidence, strict=True):
        writer.write(*row)
    folder.commit()


@pytest.mark.parametrize("limit", [0, 5_000, 45_000])
def test_full_disk_leaves_nothing(tmp_path: Path, limit: int) -> None:
    made = make(100, 32)
    handles = sum(1 for _ in Path("/proc/self/fd").iterdir())
    words = "cannot be written: the file would be larger"
    with (
        file_size_limit(limit),
        ResultsFolder(tmp_path / "out") as folder,
        pytest.raises(OutputError, match=words),
    ):
        run(folder, made)
    assert list(tmp_path.iterdir()) == []
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == handles


def test_full_disk_while_writing_masks_or_text(tmp_path: Path) -> None:
    with (
        file_size_limit(60),
        pytest.raises(OutputError, match=r"00000\.png cannot be written"),
        ResultsFolder(tmp_path / "out") as folder,
    ):
        MaskWriter(folder.path).write(np.zeros((50, 50), np.uint8))
    with (
        file_size_limit(60),
        pytest.raises(OutputError, match=r"run\.json cannot be written"),
        ResultsFolder(tmp_path / "out") as folder,
    ):
        folder.write_text("run.json", "{" + " " * 100 + "}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space or choose another --out"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_errors_of_the_disk_as_sentences(number: int, words: str) -> None:
    with pytest.raises(OutputError, match=words) as caught, disk_errors(Path("out/tracks.npz")):
        raise OSError(number, "Input/output error")
    assert str(caught.value).startswith("out/tracks.npz cannot be written: ")
