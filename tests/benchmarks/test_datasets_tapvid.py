"""TAP-Vid readers on tiny pickles in each official layout."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fgvc_benchmarks.datasets.tapvid import pixels_to_scored, points_to_pixels, read_tapvid
from fgvc_deploy.errors import InputError


def example(seed: int, frames: int = 3) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "video": rng.integers(0, 256, (frames, 6, 8, 3), dtype=np.uint8),
        "points": rng.random((2, frames, 2)).astype(np.float32),
        "occluded": rng.random((2, frames)) > 0.5,
    }


def write(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def encoded(video: NDArray[np.uint8]) -> NDArray[np.object_]:
    images = np.empty(len(video), object)
    for index, frame in enumerate(video):
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "PNG")
        images[index] = buffer.getvalue()
    return images


def test_davis_layout(tmp_path: Path) -> None:
    content = {"goat": example(0), "cows": example(1, frames=4)}
    videos = list(read_tapvid(write(tmp_path / "tapvid_davis.pkl", content)))
    assert [video.name for video in videos] == ["goat", "cows"]
    for video in videos:
        truth = content[video.name]
        assert len(video.frames) == len(truth["video"])
        assert np.array_equal(video.frames[1], truth["video"][1])
        assert np.array_equal(video.points, truth["points"].astype(np.float64))
        assert np.array_equal(video.occluded, truth["occluded"])


def test_rgb_stacking_layout(tmp_path: Path) -> None:
    videos = list(read_tapvid(write(tmp_path / "tapvid_rgb_stacking.pkl", [example(0), example(1)])))
    assert [video.name for video in videos] == ["tapvid_rgb_stacking_0000", "tapvid_rgb_stacking_0001"]


def test_kinetics_layout_with_encoded_frames(tmp_path: Path) -> None:
    for part in range(2):
        clip = example(part)
        write(tmp_path / f"{part:04d}_of_0010.pkl", [clip | {"video": encoded(clip["video"])}])
    videos = list(read_tapvid(tmp_path))
    assert [video.name for video in videos] == ["0000_of_0010_0000", "0001_of_0010_0000"]
    assert np.array_equal(videos[1].frames[2], example(1)["video"][2])
    assert len(videos[1].frames) == 3


def test_one_file_per_video(tmp_path: Path) -> None:
    write(tmp_path / "0.pkl", example(0))
    write(tmp_path / "1.pkl", example(1))
    assert [video.name for video in read_tapvid(tmp_path)] == ["0", "1"]


def test_corner_of_the_image_is_half_a_pixel_before_its_first_centre() -> None:
    corners = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    assert points_to_pixels(corners, (6, 8)).tolist() == [[-0.5, -0.5], [7.5, 5.5], [3.5, 2.5]]
    assert points_to_pixels(corners, (6, 8), reference=True).tolist() == [[0, 0], [8, 6], [4, 3]]


@pytest.mark.parametrize("reference", [False, True])
def test_scored_pixels_agree_with_the_truth_at_any_size(reference: bool) -> None:
    points = np.random.default_rng(0).random((5, 2))
    for hw in ((480, 854), (33, 17)):
        tracked = points_to_pixels(points, hw, reference=reference)
        scored = points_to_pixels(points, (256, 256), reference=reference)
        np.testing.assert_allclose(pixels_to_scored(tracked, hw, reference=reference), scored, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text", "it holds a str"),
        ({"a": {"video": np.zeros((2, 4, 4, 3), np.uint8)}}, "a lacks video, points or occluded"),
        ([3], "lacks video"),
        (example(0) | {"video": np.zeros((3, 4, 4), np.uint8)}, "must be uint8"),
        (example(0) | {"occluded": np.zeros((2, 4), bool)}, r"\[N, T, 2\] and \[N, T\]"),
        (example(0) | {"video": np.zeros((5, 4, 4, 3), np.uint8)}, "for 5 frames"),
    ],
)
def test_says_why_it_is_not_tapvid(tmp_path: Path, content: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        list(read_tapvid(write(tmp_path / "x.pkl", content)))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no TAP-Vid pickles"):
        list(read_tapvid(tmp_path))
