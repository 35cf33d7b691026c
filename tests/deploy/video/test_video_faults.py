"""Damaged videos: frames before the fault come out intact and correctly numbered, and the fault is never silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video import open_source

Clip = Callable[..., Path]
Frame = NDArray[np.uint8]
COUNT = 40

CONTAINERS: dict[str, tuple[str, dict[str, Any]]] = {
    "front.mp4": ("libx264", {"container_options": {"movflags": "faststart"}}),
    "back.mp4": ("libx264", {}),
    "fragments.mp4": ("libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "x.webm": ("libvpx-vp9", {"options": {"deadline": "realtime", "cpu-used": "8"}}),
    "x.mkv": ("libx264", {}),
    "x.ts": ("libx264", {"options": {"g": "12"}}),
    "x.avi": ("mpeg4", {}),
    "mjpeg.avi": ("mjpeg", {}),
    "x.flv": ("libx264", {}),
}


def read(path: Path) -> tuple[list[Frame], InputError | None]:
    """All frames that come, and what ended them."""
    frames: list[Frame] = []
    try:
        with open_source(path) as source:
            frames.extend(source)
    except InputError as error:
        return frames, error
    return frames, None


@pytest.mark.parametrize("name", CONTAINERS)
def test_cut_file_gives_intact_frames_then_a_fault_wherever_it_is_cut(clip: Clip, name: str) -> None:
    codec, extra = CONTAINERS[name]
    path = clip(name, codec, count=COUNT, **extra)
    whole, error = read(path)
    assert error is None
    assert len(whole) == COUNT
    data = path.read_bytes()
    faults = 0
    for size in np.linspace(0.1, 0.995, 25) * len(data):
        # A transport stream that ends after a whole packet is a legal shorter stream.
        path.write_bytes(data[: int(size) + (int(size) % 188 == 0)])
        frames, error = read(path)
        for frame, expected in zip(frames, whole, strict=False):
            np.testing.assert_array_equal(frame, expected)
        if error is None:
            assert len(frames) == COUNT, f"cut to {size:.0f} of {len(data)} bytes and nothing was said"
        elif isinstance(error, SourceFault):
            faults += 1
            assert error.frame_index == len(frames) > 0
            assert "frames could be read" in str(error)
        else:
            assert not frames
    # An MP4 whose index comes last cannot be read at all without it.
    assert faults == 0 if name == "back.mp4" else faults >= 8


def test_cut_file_announces_no_frame_count(clip: Clip) -> None:
    path = clip("a.mp4", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-100])
    with open_source(path) as source:
        assert (source.frame_count, source.frame_estimate) == (None, COUNT)


def test_sentence_names_file_counts_and_mend(clip: Clip) -> None:
    path = clip("a.mp4", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-1000])
    frames, error = read(path)
    assert str(error).startswith(f"{path}: ")
    assert f"{len(frames)} of {COUNT} frames could be read" in str(error)
    assert "copy or convert the video again" in str(error)


def zeros(data: bytearray, start: int) -> None:
    data[start : start + 500] = bytes(500)


def noise(data: bytearray, start: int) -> None:
    data[start : start + 300] = np.random.default_rng(3).bytes(300)


@pytest.mark.parametrize("damage", [zeros, noise])
@pytest.mark.parametrize("name", ["front.mp4", "x.mkv", "x.ts"])
def test_damage_inside_a_file_is_a_fault_and_no_frame_is_misnumbered(
    clip: Clip, frame_number: Callable[[Frame], int], name: str, damage: Callable[[bytearray, int], None]
) -> None:
    codec, extra = CONTAINERS[name]
    path = clip(name, codec, count=COUNT, hw=(128, 192), **extra)
    data = bytearray(path.read_bytes())
    damage(data, len(data) * 3 // 4)
    path.write_bytes(data)
    frames, error = read(path)
    assert isinstance(error, SourceFault)
    assert 0 < error.frame_index == len(frames) < COUNT
    # The picture in which the damage lies may show it; its number and its predecessors' must be right.
    assert [frame_number(frame) for frame in frames[:-1]] == list(range(len(frames) - 1))


def test_picture_that_the_decoder_drops_in_silence_is_noticed(
    clip: Clip, frame_number: Callable[[Frame], int]
) -> None:
    path = clip("a.mp4", options={"bf": "0", "g": "1", "x264-params": "slices=1:aud=0"}, count=12)
    data = bytearray(path.read_bytes())
    # The sixth key picture (NAL type 5) becomes an unknown NAL type, which decoders have to ignore.
    start = data.index(b"mdat")
    pictures = [at for at in range(start, len(data) - 5) if data[at : at + 2] == b"\x00\x00" and data[at + 4] == 0x65]
    data[pictures[5] + 4] = 0x78
    path.write_bytes(data)
    frames, error = read(path)
    assert isinstance(error, SourceFault)
    assert [frame_number(frame) for frame in frames] == list(range(5))


def test_frame_size_that_changes_inside_a_video_is_a_fault(clip: Clip) -> None:
    small, large = clip("a.h264", hw=(64, 96), count=10), clip("b.h264", hw=(96, 128), count=10)
    small.write_bytes(small.read_bytes() + large.read_bytes())
    frames, error = read(small)
    assert isinstance(error, SourceFault)
    assert error.frame_index == len(frames) == 10
    assert "frame 10 is 128x96 but frame 0 is 96x64" in str(error)


def test_second_pass_meets_the_same_fault(clip: Clip) -> None:
    path = clip("a.mkv")
    path.write_bytes(path.read_bytes()[:-900])
    with open_source(path) as source:
        counts = []
        for _ in range(2):
            with pytest.raises(SourceFault) as caught:
                list(source)
            counts.append(caught.value.frame_index)
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.mp4", None, "no file or folder"),
        ("empty.mp4", b"", "is an empty file"),
        ("text.mp4", b"this is not a video\n" * 50, "is not a video"),
        ("noise.mkv", np.random.default_rng(0).bytes(5000), "is not a video"),
        ("picture", b"\xff\xd8\xff\xe0", "is a single image"),
    ],
)
def test_files_that_are_no_clip(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, SourceFault)


def test_mp4_without_its_index_says_so(clip: Clip) -> None:
    path = clip("a.mp4")
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(InputError, match="cut short before its index"):
        open_source(path)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_video_without_frames(clip: Clip, seconds: float) -> None:
    with pytest.raises(InputError, match=r"holds no (frames|video)"):
        open_source(clip("zero.mp4", count=0, sound_seconds=seconds))


def test_unreadable_file(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("a.mp4", count=2)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("av.open", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied"):
        open_source(path)
