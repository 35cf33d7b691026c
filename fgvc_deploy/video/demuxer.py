"""One opened container: what it says about itself, and the whole packets of its video.

Which sizes and durations can be believed: `completeness.py`.  Pictures: `decoder.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Disposition

from fgvc_deploy.errors import InputError
from fgvc_deploy.video.completeness import Coverage, container_rules, missing_bytes

if TYPE_CHECKING:
    # The class is generic in PyAV's stubs only.
    Packet = av.Packet[Any]

_MAX_FPS = 1000.0


@dataclass(frozen=True, slots=True)
class Address:
    """What is handed to libav: `url`, demuxer (`format`), its options, and (open, read) timeouts in seconds.

    `live` sources are read once.  `path` is set for plain files.
    """

    name: str
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    timeout: tuple[float, float] | None = None
    live: bool = False
    path: Path | None = None


class Broken(Exception):
    """Reading cannot go on.  `safe_before`: pictures shown before this time stamp are intact and without a hole."""

    def __init__(self, reason: str, safe_before: int | None) -> None:
        super().__init__(reason)
        self.safe_before = safe_before


class Demuxer:
    """The first real video stream of a container.

    `lenient`: what a camera lost on the way is skipped, not a fault; so for live sources without an announced end.
    Raises libav's errors when the container cannot be opened and InputError when it holds no video.  `close` releases
    file and socket.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        # Tags in another encoding than UTF-8 are common, and of no interest.
        self._container = av.open(
            address.url, "r", address.format, address.options, metadata_errors="replace", timeout=address.timeout
        )
        try:
            self.stream = self._video_stream()
            self.format_name = self._container.format.name
            self.rules = container_rules(self.format_name)
            self.lenient = address.live and not (self.rules.duration and self._container.duration)
            self._missing = missing_bytes(address.path, self.rules) if address.path else 0
        except BaseException:
            self.close()
            raise
        self._coverage = Coverage()

    def _video_stream(self) -> av.VideoStream:
        for stream in self._container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue
            if stream.codec_context is None:
                raise InputError(
                    f"{self._address.name} is in a format that this PyAV cannot decode, or is damaged; convert it."
                )
            return stream
        what = "no video, only sound or data" if self._container.streams else "no frames"
        raise InputError(f"{self._address.name} holds {what}; give a video file.")

    def close(self) -> None:
        """Release everything; may be called more than once."""
        self._container.close()

    @property
    def fps(self) -> float | None:
        """Average frames per second; None when the container does not say, or gives the ticks of its clock."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate and 0 < rate <= _MAX_FPS else None

    @property
    def _frames_by_time(self) -> float:
        """Duration of the video times its rate; 0 when not known."""
        duration = self.stream.duration or 0
        return float(duration * (self.stream.time_base or 0)) * (self.fps or 0)

    @property
    def announced(self) -> int | None:
        """Frames the muxer counted, if it did; the first fragment of a fragmented MP4 counts only its own."""
        frames = self.stream.frames
        return frames if self.rules.count and frames and frames > self._frames_by_time - 0.5 else None

    @property
    def frame_count(self) -> int | None:
        """Frames announced, where nothing is cut off and the duration agrees: an edit list hides some frames."""
        if self.announced is None or self._missing or self.announced - self._frames_by_time >= 0.5:
            return None
        return self.announced

    @property
    def frame_estimate(self) -> int | None:
        """Frames announced, or duration times rate."""
        duration = self._container.duration
        if self.announced or self.lenient or not (duration and self.fps):
            return self.announced
        return max(1, round(duration / av.time_base * self.fps))

    def packets(self) -> Iterator[Packet]:
        """Whole packets of the video, from the first that can be decoded by itself; Broken when one is missing."""
        started = not self.rules.starts_anywhere and not self.lenient
        for packet in self._whole_packets():
            self._coverage.add(packet, is_video := packet.stream_index == self.stream.index)
            started = started or (is_video and packet.is_keyframe)
            if is_video and started:
                yield packet
        self._check_complete()

    def _whole_packets(self) -> Iterator[Packet]:
        """Packets of all streams; the last one of a cut file is held back where libav does not mark it."""
        hold_back = self._missing > 0 and not self.rules.flags_partial
        held: Packet | None = None
        for packet in self._read():
            if packet.is_corrupt and packet.stream_index == self.stream.index and not self.lenient:
                raise Broken("a piece of the video is damaged or cut off", packet.dts)
            if not hold_back:
                yield packet
                continue
            if held is not None:
                yield held
            held = packet

    def _read(self) -> Iterator[Packet]:
        # Other streams of a file tell how long it was meant to be; of a camera they are not even fetched.
        streams = [self.stream] if self.lenient else list(self._container.streams)
        try:
            # Empty packets are end marks, and in AVI repeats of the picture before.
            yield from (packet for packet in self._container.demux(*streams) if packet.size)
        except av.FFmpegError as error:
            # ExitError is how PyAV reports that its timeout has passed.
            waited = self._address.timeout[1] if self._address.timeout and isinstance(error, av.ExitError) else None
            reason = f"nothing arrived for {waited:g} s" if waited else f"reading stopped ({error.strerror})"
            raise Broken(reason, self._coverage.next_dts) from error

    def _check_complete(self) -> None:
        if self.lenient:
            return
        if self._missing and not (self.announced and self.announced <= self._coverage.packets):
            raise Broken("the file is cut short", self._coverage.next_dts)
        # Some muxers count the duration from zero and some from the first frame; taking zero is never too strict.
        duration = self._container.duration if self.rules.duration else None
        if short := self._coverage.shortfall(duration / av.time_base if duration else None):
            raise Broken(f"the video stops {short:.1f} s before its announced end", self._coverage.next_dts)
