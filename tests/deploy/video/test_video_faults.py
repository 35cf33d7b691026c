"""Damaged videos: frames before the fault come out intact and correctly numbered, and the fault is never silent."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video import open_source
from fgvc_deploy.video.decoder import Decoder
from fgvc_deploy.video.demuxer import Address

Clip = Callable[..., Path]
Frame = NDArray[np.uint8]
COUNT = 40

CONTAINERS: dict[str, tuple[str, dict[str, Any]]] = {
    "front.mp4": ("libx264", {"container_options": {"movflags": "faststart"}}),
    "back.mp4": ("libx264", {}),
    "fragments.mp4": ("libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "first.mp4": ("libx264", {"container_options": {"movflags": "frag_keyframe"}, "options": {"g": "8"}}),
    "x.webm": ("libvpx-vp9", {"options": {"deadline": "realtime", "cpu-used": "8"}}),
    "x.mkv": ("libx264", {}),
    "x.ts": ("libx264", {"options": {"g": "12"}}),
    "intra.ts": ("libx264", {"options": {"g": "1"}, "hw": (128, 192)}),
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
            count = f"{len(frames)}( of \\d+ frames| frames?)"
            assert re.search(rf"; {count} could be read: ", str(error))
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


@pytest.mark.parametrize("last", range(1, 9))
def test_cut_after_any_of_the_first_packets(clip: Clip, frame_number: Callable[[Frame], int], last: int) -> None:
    """Matroska has no decoding times, so the order of the first few pictures is hard to know."""
    path = clip("a.mkv", options={"bf": "3"}, count=COUNT)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    end = packets[last].pos
    assert end
    path.write_bytes(path.read_bytes()[: end + 3])
    frames, error = read(path)
    assert isinstance(error, SourceFault)
    assert [frame_number(frame) for frame in frames] == list(range(len(frames)))
    assert len(frames) >= 1


def test_cut_between_two_fragments_shows_in_the_announced_duration(clip: Clip) -> None:
    path = clip(
        "a.mp4", options={"g": "10"}, container_options={"movflags": "dash+global_sidx+frag_keyframe"}, count=60
    )
    data = path.read_bytes()
    fragments = [at for at in range(len(data)) if data[at : at + 4] == b"moof"]
    path.write_bytes(data[: fragments[-2] - 4])
    frames, error = read(path)
    assert isinstance(error, SourceFault)
    assert "before its announced end" in str(error)
    assert 30 < len(frames) <= 40


@pytest.mark.parametrize("lost", [7, COUNT - 1])
@pytest.mark.parametrize("name", ["back.mp4", "x.mkv"])
def test_picture_that_the_decoder_drops_in_silence_is_noticed(
    clip: Clip, frame_number: Callable[[Frame], int], name: str, lost: int
) -> None:
    class Forgetful:
        """A decoder that swallows one picture, as libav's does when a damaged one arrives out of order."""

        def __init__(self, stream: av.VideoStream) -> None:
            self.stream = stream

        def decode(self, packet: Any) -> list[av.VideoFrame]:
            ticks = round(lost / 25 / float(self.stream.time_base or 1))
            return [picture for picture in self.stream.decode(packet) if picture.pts != ticks]

    codec, extra = CONTAINERS[name]
    path = clip(name, codec, count=COUNT, **extra)
    decoder = Decoder(Address(name, str(path), path=path))
    decoder._stream = Forgetful(decoder._stream)  # type: ignore[assignment]
    frames: list[Frame] = []
    with closing(decoder), pytest.raises(SourceFault) as caught:
        frames.extend(decoder.frames())
    assert caught.value.frame_index == lost
    assert [frame_number(frame) for frame in frames] == list(range(lost))


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
