"""What headers announce, on headers written by hand, and how far the packets must reach."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fgvc_deploy.video.completeness import CONTAINERS, Coverage, missing_bytes
from fgvc_deploy.video.pending import PendingPictures

MP4, MKV, AVI, TS, FLV = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "flv"
EBML = b"\x1a\x45\xdf\xa3\x84abcd"
SEGMENT = b"\x18\x53\x80\x67"


def box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4s", size, kind) + bytes(size - 8)


def tag(kind: int, size: int) -> bytes:
    return bytes([kind]) + size.to_bytes(3, "big") + bytes(7 + size + 4)


CASES: list[tuple[str, bytes, int]] = [
    (MP4, box(b"ftyp", 16) + box(b"mdat", 100), 0),
    (MP4, (box(b"ftyp", 16) + box(b"mdat", 100))[:-30], 30),
    (MP4, box(b"ftyp", 16) + struct.pack(">I4sQ", 1, b"mdat", 200) + bytes(150), 34),
    (MP4, box(b"ftyp", 16) + struct.pack(">I4s", 0, b"mdat") + bytes(50), 0),
    (MP4, box(b"ftyp", 16) + bytes(64), 0),
    (MP4, box(b"ftyp", 16) + box(b"mdat", 100)[:5], 3),
    (MKV, EBML + SEGMENT + b"\x01" + (50).to_bytes(7, "big") + bytes(50), 0),
    (MKV, EBML + SEGMENT + b"\x01" + (50).to_bytes(7, "big") + bytes(20), 30),
    (MKV, EBML + SEGMENT + b"\x40\x32" + bytes(40), 10),
    (MKV, EBML + SEGMENT + b"\x01" + b"\xff" * 7 + bytes(20), 0),
    (MKV, b"nonsense" * 9, 0),
    (AVI, b"RIFF" + struct.pack("<I", 60) + bytes(60), 0),
    (AVI, b"RIFF" + struct.pack("<I", 60) + bytes(40), 20),
    (AVI, b"RIFF" + struct.pack("<I", 60) + bytes(60) + b"RIFF" + struct.pack("<I", 90) + bytes(50), 40),
    (AVI, b"RIFF" + struct.pack("<I", 0) + bytes(40), 0),
    (AVI, b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + bytes(40), 0),
    (TS, (b"G" + bytes(187)) * 5, 0),
    (TS, (b"G" + bytes(187)) * 5 + b"G" + bytes(86), 101),
    (TS, (bytes(4) + b"G" + bytes(187)) * 5 + bytes(92), 100),
    (FLV, b"FLV" + bytes(10) + tag(9, 40) + tag(8, 20), 0),
    (FLV, (b"FLV" + bytes(10) + tag(9, 40) + tag(8, 20))[:-9], 9),
    (FLV, b"FLV" + bytes(10) + tag(77, 40)[:20], 0),
]


@pytest.mark.parametrize(("name", "data", "missing"), CASES)
def test_missing_bytes(tmp_path: Path, name: str, data: bytes, missing: int) -> None:
    (tmp_path / "file").write_bytes(data)
    assert missing_bytes(tmp_path / "file", CONTAINERS[name]) == missing


@pytest.mark.parametrize("name", CONTAINERS)
def test_headers_cut_anywhere_do_no_harm(tmp_path: Path, name: str) -> None:
    for data in [data for kind, data, _ in CASES if kind == name]:
        for end in range(0, len(data), 1 + len(data) // 150):
            (tmp_path / "file").write_bytes(data[:end])
            missing_bytes(tmp_path / "file", CONTAINERS[name])


def packet(pts: int | None, dts: int | None, duration: int = 40) -> Any:
    return SimpleNamespace(pts=pts, dts=dts, duration=duration, time_base=0.001)


def covered(times: list[int], sound_until: int = 0) -> Coverage:
    coverage = Coverage()
    for time in times:
        coverage.add(packet(time, time), is_video=True)
    coverage.add(packet(0, 0, sound_until), is_video=False)
    return coverage


@pytest.mark.parametrize(
    ("coverage", "announced_end", "shortfall"),
    [
        (covered([0, 40, 80]), 0.12, 0.0),
        (covered([0, 40, 80]), 0.62, 0.0),
        (covered([0, 40, 80]), 0.63, 0.51),
        (covered([0, 40, 80], sound_until=600), 0.9, 0.0),
        (covered([0, 5000, 10000]), 15.0, 0.0),
        (covered([0, 5000, 10000]), 25.0, 14.96),
        (covered([0]), 9.0, 0.0),
        (covered([0, 40]), None, 0.0),
        (Coverage(), 9.0, 0.0),
    ],
)
def test_shortfall(coverage: Coverage, announced_end: float | None, shortfall: float) -> None:
    assert coverage.shortfall(announced_end) == pytest.approx(shortfall)


def test_next_dts_is_where_a_hole_could_begin() -> None:
    coverage = Coverage()
    seen = []
    for one in (packet(0, None), packet(160, None), packet(80, 0), packet(40, 40), packet(None, None)):
        coverage.add(one, is_video=True)
        seen.append(coverage.next_dts)
    assert seen == [1, 1, 40, 80, 80]


def test_pending_pictures() -> None:
    pending = PendingPictures("h264", whole_pictures=True)
    for pts in (0, 3, 1, 2, None, 4):
        pending.enter(pts)
    assert [pending.leave(pts) for pts in (0, 1, None, 3)] == [False, False, False, True]
    assert pending.lost_at_end()
    assert not pending.leave(4)
    assert not pending.lost_at_end()


def test_pictures_before_the_first_shown_one_are_not_missed() -> None:
    pending = PendingPictures("hevc", whole_pictures=True)
    for pts in (0, 1, 2, 3):
        pending.enter(pts)
    assert [pending.leave(pts) for pts in (2, 3)] == [False, False]


@pytest.mark.parametrize(("codec", "whole"), [("vp8", True), ("mpeg4", True), ("h264", False)])
def test_codecs_with_hidden_packets_are_not_watched(codec: str, whole: bool) -> None:
    pending = PendingPictures(codec, whole)
    for pts in (0, 1, 2):
        pending.enter(pts)
    assert not pending.leave(2)
    assert not pending.lost_at_end()
