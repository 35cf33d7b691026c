"""Healthy sources of every kind: what is known on opening, which frames come out, how often they can be read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.video import open_source

Clip = Callable[..., Path]
FrameNumber = Callable[[NDArray[np.uint8]], int]
VARIABLE_RATE = [2 * n if n < 20 else 40 + 7 * (n - 20) for n in range(40)]


def numbers(path: Path | str, frame_number: FrameNumber) -> list[int]:
    with open_source(path) as source:
        return [frame_number(frame) for frame in source]


@pytest.mark.parametrize(
    ("name", "codec", "extra", "frame_count"),
    [
        ("clip.mp4", "libx264", {}, 40),
        ("front.mp4", "libx264", {"container_options": {"movflags": "faststart"}}, 40),
        ("fragments.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}, None),
        ("rate.mp4", "libx264", {"times": VARIABLE_RATE}, 40),
        ("late.mp4", "libx264", {"times": list(range(50, 90))}, 40),
        ("clip.mov", "mjpeg", {}, 40),
        ("clip.mkv", "libx264", {}, None),
        ("late.mkv", "libx264", {"times": list(range(50, 90))}, None),
        ("rate.mkv", "libx264", {"times": VARIABLE_RATE}, None),
        ("open_gop.mkv", "libx264", {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}}, None),
        ("clip.webm", "libvpx-vp9", {"options": {"deadline": "realtime", "cpu-used": "8"}}, None),
        ("live.webm", "libvpx", {"container_options": {"live": "1"}}, None),
        ("hidden.webm", "libvpx", {"options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200000"}}, None),
        ("clip.ts", "libx264", {"options": {"g": "12"}}, None),
        ("clip.mpg", "mpeg2video", {}, None),
        ("clip.avi", "mpeg4", {}, 40),
        ("packed.avi", "mpeg4", {"options": {"bf": "2", "mpeg4_packed": "1"}}, 40),
        ("clip.flv", "libx264", {}, None),
        ("raw.h264", "libx264", {}, None),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_every_frame_of_a_healthy_file_comes_out_in_order(
    clip: Clip, frame_number: FrameNumber, name: str, codec: str, extra: dict[str, Any], frame_count: int | None
) -> None:
    path = clip(name, codec, **extra)
    with open_source(path) as source:
        assert (source.name, source.hw, source.reopenable) == (str(path), (64, 96), True)
        assert source.frame_count == frame_count
        frames = list(source)
    assert [frame_number(frame) for frame in frames] == list(range(40))
    assert all(frame.dtype == np.uint8 and frame.flags.c_contiguous for frame in frames)


@pytest.mark.parametrize(("name", "seconds"), [("a.mp4", 3.0), ("a.mp4", 1.0), ("a.mkv", 3.0), ("a.mkv", 1.0)])
def test_sound_longer_or_shorter_than_the_video_is_no_fault(
    clip: Clip, frame_number: FrameNumber, name: str, seconds: float
) -> None:
    assert numbers(clip(name, sound_seconds=seconds), frame_number) == list(range(40))


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv"])
def test_slide_show_of_five_second_pictures_is_no_fault(clip: Clip, frame_number: FrameNumber, name: str) -> None:
    assert numbers(clip(name, count=6, times=[125 * n for n in range(6)]), frame_number) == list(range(6))


def test_edit_list_hides_frames_and_the_announced_count_is_not_believed(
    clip: Clip, frame_number: FrameNumber
) -> None:
    path = clip("edited.mp4", times=list(range(-10, 30)))
    with open_source(path) as source:
        assert source.frame_count is None
        assert source.frame_estimate == 40
        assert [frame_number(frame) for frame in source] == list(range(10, 40))


def test_transport_stream_may_begin_between_key_frames(clip: Clip, frame_number: FrameNumber, tmp_path: Path) -> None:
    whole = clip("whole.ts", count=60, options={"x264-params": "open-gop=1:keyint=12:bframes=3"}).read_bytes()
    path = tmp_path / "middle.ts"
    path.write_bytes(whole[188 * (len(whole) // 188 // 3) :])
    got = numbers(path, frame_number)
    assert got == list(range(60 - len(got), 60))
    assert len(got) > 20


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_metadata_is_applied_as_opencv_does(clip: Clip, degrees: int) -> None:
    path = clip("turned.mp4", count=3, rotation=degrees)
    capture = cv2.VideoCapture(str(path))
    expected = capture.read()[1][..., ::-1].astype(int)
    capture.release()
    with open_source(path) as source:
        assert source.hw == expected.shape[:2] == ((96, 64) if abs(degrees) == 90 else (64, 96))
        first = next(iter(source)).astype(int)
    # The two libraries convert colours with different chroma filters.
    assert np.abs(first - expected).mean() < 6 < np.abs(first - expected[::-1, ::-1]).mean()


def test_fps_and_estimate(clip: Clip) -> None:
    with open_source(clip("a.mkv")) as source:
        assert (source.fps, source.frame_estimate) == (25.0, 40)


def test_a_file_can_be_read_twice_and_by_two_readers_at_once(clip: Clip, frame_number: FrameNumber) -> None:
    with open_source(clip("a.mp4", count=8)) as source:
        pairs = [(frame_number(a), frame_number(b)) for a, b in zip(source, source, strict=True)]
        assert pairs == [(n, n) for n in range(8)]
        assert sum(1 for _ in source) == 8
    with pytest.raises(InputError, match="has been closed"):
        iter(source)


def test_no_file_stays_open(clip: Clip, tmp_path: Path) -> None:
    path = clip("a.mp4", count=8)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[:-400])

    def handles() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = handles()
    for _ in range(5):
        with pytest.raises(InputError):
            open_source(broken)
        with open_source(path) as source:
            next(iter(source))
            iterator = iter(source)
            next(iterator)
        abandoned = open_source(path)
        abandoned.close()
        abandoned.close()
    assert handles() == before


def test_pipe_is_read_once(clip: Clip, frame_number: FrameNumber, tmp_path: Path) -> None:
    data = clip("a.ts", count=8).read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    with open_source(fifo) as source:
        assert not source.reopenable
        assert [frame_number(frame) for frame in source] == list(range(8))
        with pytest.raises(InputError, match="only once"):
            iter(source)
    writer.join()


def test_path_whose_name_is_a_number_is_no_camera(
    clip: Clip, frame_number: FrameNumber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip("a.mkv", count=3).rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    assert numbers(Path("0"), frame_number) == numbers("./0", frame_number) == [0, 1, 2]


def test_tags_in_another_encoding_do_not_matter(clip: Clip, frame_number: FrameNumber) -> None:
    path = clip("a.avi", "mpeg4", count=3, title="xxxxxxxx")
    data = path.read_bytes()
    assert b"xxxxxxxx" in data
    path.write_bytes(data.replace(b"xxxxxxxx", "\xe9t\xe9 2019".encode("latin-1")))
    assert numbers(path, frame_number) == [0, 1, 2]


def test_memory_does_not_grow_while_reading(data_dir: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    sizes = []
    with open_source(data_dir / "videos" / "bikes.mp4") as source:
        for index, _ in enumerate(source):
            if index in (50, 249):
                sizes.append(resident())
    # The 199 frames between are 104 MB.
    assert sizes[1] - sizes[0] < 8 << 20
