"""One opened container: packets in, intact RGB frames out, and a fault as soon as one is missing.

Which kind of source a string names is decided in `source.py`; what a container announces, in `completeness.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.stream import Disposition

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video.base import Frame
from fgvc_deploy.video.completeness import Coverage, container_rules, missing_bytes
from fgvc_deploy.video.images import size_change
from fgvc_deploy.video.pending import PendingPictures

if TYPE_CHECKING:
    # The class is generic in PyAV's stubs only.
    Packet = av.Packet[Any]


@dataclass(frozen=True, slots=True)
class Address:
    """What is handed to libav: `url`, demuxer (`format`), its options, and (open, read) timeouts in seconds.

    `live` sources are read leniently: what a camera lost on the way is skipped.  `path` is set for plain files.
    """

    name: str
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    timeout: tuple[float, float] | None = None
    live: bool = False
    path: Path | None = None


class _Broken(Exception):
    """Decoding cannot go on.  `safe_before`: pictures shown before this time stamp are intact and without a hole."""

    def __init__(self, reason: str, safe_before: int | None) -> None:
        super().__init__(reason)
        self.safe_before = safe_before


class Decoder:
    """The first real video stream of a container, decoded once from its start.

    Raises libav's errors when the container cannot be opened and InputError when it holds no video.  `close` releases
    file, socket and decoder.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._container = av.open(address.url, "r", address.format, address.options, timeout=address.timeout)
        try:
            self._stream = self._video_stream()
            self.format_name = self._container.format.name
            self._rules = container_rules(self.format_name)
            self._missing = missing_bytes(address.path, self._rules) if address.path else 0
        except BaseException:
            self.close()
            raise
        self._coverage = Coverage()
        self._pending = PendingPictures(self._stream.codec_context.codec.canonical_name, self._rules.whole_pictures)

    def _video_stream(self) -> av.VideoStream:
        for stream in self._container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue
            if stream.codec_context is None:
                raise InputError(
                    f"{self._address.name} is in a format this PyAV cannot decode, or is damaged; convert it."
                )
            return stream
        what = "no video, only sound or data" if self._container.streams else "no frames"
        raise InputError(f"{self._address.name} holds {what}; give a video file.")

    def close(self) -> None:
        """Release everything; may be called more than once."""
        self._container.close()

    @property
    def fps(self) -> float | None:
        """Average frames per second, None when the container does not say."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    @property
    def frame_estimate(self) -> int | None:
        """Frames announced by the container, or duration times rate."""
        if self._stream.frames or self._address.live:
            return self._stream.frames or None
        duration = self._container.duration
        return max(1, round(duration / av.time_base * self.fps)) if duration and self.fps else None

    @property
    def frame_count(self) -> int | None:
        """Frames announced, where the muxer wrote the number, nothing is cut off and the duration agrees.

        An edit list hides frames that are in the file: then duration times rate is the smaller of the two.
        """
        announced, duration = self._stream.frames, self._stream.duration
        if not (self._rules.count and announced and duration and self.fps) or self._missing:
            return None
        by_time = float(duration * (self._stream.time_base or 0)) * self.fps
        return announced if abs(by_time - announced) < 0.5 else None

    def frames(self) -> Iterator[Frame]:
        """Every frame as uint8 RGB [H, W, 3], rotation applied; SourceFault at the first that cannot be delivered."""
        index = 0
        hw: tuple[int, ...] | None = None
        try:
            for picture in self._pictures():
                frame = _to_rgb(picture)
                hw = hw or frame.shape[:2]
                if frame.shape[:2] != hw:
                    raise SourceFault(size_change(self._address.name, index, frame.shape[:2], hw), index)
                yield frame
                index += 1
        except _Broken as broken:
            raise SourceFault(self._sentence(str(broken), index), index) from broken.__cause__

    def _sentence(self, reason: str, count: int) -> str:
        announced = f" of {self._stream.frames}" if self._stream.frames > count else ""
        mend = "check the connection" if self._address.live else "copy or convert the video again to get the rest"
        return f"{self._address.name}: {reason}; {count}{announced} frames could be read: {mend}."

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Pictures in the order they are shown; raises _Broken after the last one that is certainly intact."""
        try:
            for packet in self._packets():
                yield from self._decode(packet)
            self._check_complete()
            yield from self._decode(None)
            if self._pending.lost_at_end():
                raise _Broken("the last frames are damaged", None)
        except _Broken as broken:
            for picture in self._leftover():
                if broken.safe_before is None or picture.pts is None or picture.pts < broken.safe_before:
                    yield picture
            raise

    def _decode(self, packet: Packet | None) -> Iterator[av.VideoFrame]:
        """Pictures that are ready after `packet`; None drains the decoder."""
        if packet and not packet.is_discard:
            self._pending.enter(packet.pts)
        try:
            pictures = self._stream.decode(packet)
        except av.EOFError:
            return
        except av.FFmpegError as error:
            if self._address.live:
                return
            raise _Broken("the video is damaged", packet.dts if packet else None) from error
        for picture in pictures:
            if picture.is_corrupt and not self._address.live:
                raise _Broken("the video is damaged", picture.pts)
            if self._pending.leave(picture.pts):
                raise _Broken("a frame is missing inside the video", picture.pts)
            yield picture

    def _leftover(self) -> list[av.VideoFrame]:
        """Pictures still waiting in the decoder when packets stopped coming."""
        try:
            return [picture for picture in self._stream.decode(None) if not picture.is_corrupt]
        except av.FFmpegError:
            return []

    def _packets(self) -> Iterator[Packet]:
        """Whole packets of the video, from the first that can be decoded by itself."""
        started = not self._rules.starts_anywhere and not self._address.live
        for packet in self._whole_packets():
            self._coverage.add(packet, is_video := packet.stream_index == self._stream.index)
            started = started or (is_video and packet.is_keyframe)
            if is_video and started:
                yield packet

    def _whole_packets(self) -> Iterator[Packet]:
        """Packets of all streams; the last one of a cut file is held back where libav does not mark it."""
        hold_back = self._missing > 0 and not self._rules.flags_partial
        held: Packet | None = None
        for packet in self._demuxed():
            if packet.is_corrupt and packet.stream_index == self._stream.index and not self._address.live:
                raise _Broken("a piece of the video is damaged or cut off", packet.dts)
            if not hold_back:
                yield packet
                continue
            if held is not None:
                yield held
            held = packet

    def _demuxed(self) -> Iterator[Packet]:
        # Other streams of a file tell how long it was meant to be; of a camera they are not even fetched.
        streams = [self._stream] if self._address.live else list(self._container.streams)
        try:
            # Empty packets are end marks, and in AVI repeats of the picture before.
            yield from (packet for packet in self._container.demux(*streams) if packet.size)
        except av.FFmpegError as error:
            # ExitError is how PyAV reports that its timeout has passed.
            waited = self._address.timeout[1] if self._address.timeout and isinstance(error, av.ExitError) else None
            reason = f"nothing arrived for {waited:g} s" if waited else f"reading stopped ({error.strerror})"
            raise _Broken(reason, self._coverage.next_dts) from error

    def _check_complete(self) -> None:
        if self._address.live:
            return
        if self._missing and not 0 < self._stream.frames <= self._coverage.packets:
            raise _Broken("the file is cut short", self._coverage.next_dts)
        # Some muxers count the duration from zero and some from the first frame; taking zero is never too strict.
        duration = self._container.duration if self._rules.duration else None
        if short := self._coverage.shortfall(duration / av.time_base if duration else None):
            raise _Broken(f"the video stops {short:.1f} s before its announced end", self._coverage.next_dts)


def _to_rgb(picture: av.VideoFrame) -> Frame:
    rgb = np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)
    # libav's angle and NumPy's turns are both counterclockwise.
    quarter_turns = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb
