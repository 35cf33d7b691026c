"""Whether a video file holds everything it announces: sizes in its headers, and how far its packets reach in time.

No decoding.  `decoder.py` asks here before it reads and after the last packet.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import av

_TS_PACKET_SIZES = (188, 192, 204)
_TS_SYNC = 0x47
_EBML_HEADER, _EBML_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_SLACK_SECONDS = 0.5


def _iso_boxes_end(file: BinaryIO, size: int) -> int | None:
    """Where the last top-level box of an MP4 / MOV file ends by its own account (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:
            return position + 8
        length = struct.unpack(">I", header[:4])[0]
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        # 0 means "to the end of the file"; other lengths below 8 are padding written by cameras.
        if length < 8:
            return None
        position += length
    return position


def _ebml_number(data: bytes) -> tuple[int | None, int]:
    """Value and length in bytes of an EBML size (RFC 8794, 4); None for the reserved value "unknown"."""
    # A first byte of 0 is invalid; as a length of 9 it does no harm.
    length = 9 - data[0].bit_length()
    bits = int.from_bytes(data[:length], "big") & ((1 << 7 * length) - 1)
    return (None if bits == (1 << 7 * length) - 1 else bits), length


def _ebml_segment_end(file: BinaryIO, size: int) -> int | None:
    """Where the segment of a Matroska / WebM file ends by its own account; None when it was written live."""
    head = file.read(256)
    if not head.startswith(_EBML_HEADER) or len(head) < 24:
        return None
    header_size, length = _ebml_number(head[4:])
    start = 4 + length + (header_size or 0)
    if head[start : start + 4] != _EBML_SEGMENT or len(head) < start + 12:
        return None
    segment_size, length = _ebml_number(head[start + 4 :])
    return None if segment_size is None else start + 4 + length + segment_size


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Where the last RIFF chunk of an AVI file ends by its own account."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        tag, length = struct.unpack("<4sI", file.read(8))
        # Writers to a pipe leave 0 or all ones.
        if tag != b"RIFF" or length == 0 or length >= 0xFFFFFFF0:
            return position or None
        position += 8 + length + (length & 1)
    return position


def _ts_end(file: BinaryIO, size: int) -> int | None:
    """The size rounded up to whole transport packets; a cut between two packets cannot be seen."""
    head = file.read(3 * max(_TS_PACKET_SIZES))
    for packet in _TS_PACKET_SIZES:
        first = head.find(_TS_SYNC, 0, packet)
        if first >= 0 and head[first + packet : first + packet + 1] == b"G" == head[first + 2 * packet :][:1]:
            return -(-size // packet) * packet
    return None


def _flv_end(file: BinaryIO, size: int) -> int | None:
    """Where the last tag of an FLV file ends: 11 bytes of header, the data, 4 bytes of length."""
    position = 9 + 4
    while position + 4 <= size:
        file.seek(position)
        kind, *length = file.read(4)
        if kind not in (8, 9, 18):
            return None
        position += 11 + int.from_bytes(length, "big") + 4
    return max(position, size)


@dataclass(frozen=True, slots=True)
class ContainerRules:
    """What can be believed about one container format.

    `end`: the file's size by its own headers.  `count`: whether its frame count is written by the muxer.
    `duration`: whether its duration is written by the muxer (and not estimated from the last packets, which a cut
    file has too).  `flags_partial`: whether libav marks the packet in which a cut file ends.  `starts_anywhere`: a
    recording may begin between two key frames, and what comes before the first one is not a fault.  `whole_pictures`:
    a packet is a picture, so a picture that does not come out of the decoder was lost.
    """

    end: Callable[[BinaryIO, int], int | None] | None = None
    count: bool = False
    duration: bool = False
    flags_partial: bool = True
    starts_anywhere: bool = False
    whole_pictures: bool = False


CONTAINERS: dict[str, ContainerRules] = {
    "mov,mp4,m4a,3gp,3g2,mj2": ContainerRules(end=_iso_boxes_end, count=True, duration=True, whole_pictures=True),
    "matroska,webm": ContainerRules(end=_ebml_segment_end, duration=True, whole_pictures=True),
    "avi": ContainerRules(end=_riff_end, count=True),
    "mpegts": ContainerRules(end=_ts_end, flags_partial=False, starts_anywhere=True),
    "mpeg": ContainerRules(starts_anywhere=True),
    "flv": ContainerRules(end=_flv_end, duration=True),
}


def missing_bytes(path: Path, rules: ContainerRules) -> int:
    """How many bytes the file is shorter than its headers say; 0 when whole or when nothing is announced."""
    if rules.end is None:
        return 0
    size = path.stat().st_size
    with path.open("rb") as file:
        end = rules.end(file, size)
    return max(0, end - size) if end else 0


@dataclass(slots=True)
class Coverage:
    """How much of the container has been read: packets of the video, and time reached by any stream (seconds).

    `next_dts` is where the decoding time of the next video packet would be, in the stream's own ticks: frames shown
    before it cannot have a missing one among them, since no packet is shown before it is decoded.
    """

    packets: int = 0
    reached: float | None = None
    next_dts: int | None = None
    _previous: float | None = None
    _longest_gap: float = field(default=0.0)

    def add(self, packet: av.Packet[av.stream.Stream], is_video: bool) -> None:
        """Take note of a packet that was read whole."""
        if packet.pts is not None and packet.time_base:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.reached = end if self.reached is None else max(self.reached, end)
        if not is_video:
            return
        self.packets += 1
        if packet.dts is not None:
            self.next_dts = packet.dts + (packet.duration or 1)
        elif self.packets == 1 and packet.pts is not None:
            # Matroska stores no decoding times; libav knows them after a few packets.
            self.next_dts = packet.pts + 1
        if packet.dts is not None and packet.time_base:
            now = float(packet.dts * packet.time_base)
            self._longest_gap = max(self._longest_gap, now - (now if self._previous is None else self._previous))
            self._previous = now

    def shortfall(self, announced_end: float | None) -> float:
        """Seconds between the time reached and the announced end; 0 when within the slack.

        The slack is half a second, or two of the longest intervals between frames: the last picture of a slide show
        may be announced to stay as long as the others.
        """
        if announced_end is None or self.reached is None or self.packets < 2:
            return 0.0
        short = announced_end - self.reached
        return short if short > max(_SLACK_SECONDS, 2 * self._longest_gap) else 0.0


def container_rules(name: str) -> ContainerRules:
    """Rules of a libav demuxer; for one not listed nothing announced is believed."""
    return CONTAINERS.get(name, ContainerRules())
