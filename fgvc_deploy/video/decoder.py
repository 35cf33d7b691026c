"""Packets to intact RGB frames, and a fault as soon as one cannot be delivered.

Reading packets and noticing cut files: `demuxer.py`.  Sources and their passes: `container.py`.

What cannot be noticed: damage inside a coded picture that still decodes (most codecs carry no checksum), a transport
stream cut between two of its packets, and in WebM, AVI and MPEG files up to half a second of frames that damage made
unrecognisable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from fgvc_deploy.errors import SourceFault
from fgvc_deploy.video.base import Frame
from fgvc_deploy.video.demuxer import Address, Broken, Demuxer
from fgvc_deploy.video.images import size_change
from fgvc_deploy.video.pending import PendingPictures

if TYPE_CHECKING:
    # The class is generic in PyAV's stubs only.
    Packet = av.Packet[Any]


class Decoder:
    """The video of one container, decoded once from its start.  Errors of opening are those of `Demuxer`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.demuxer = Demuxer(address)
        self._stream = self.demuxer.stream
        codec = self._stream.codec_context.codec.canonical_name
        self._lenient = self.demuxer.lenient
        self._pending = PendingPictures(codec, self.demuxer.rules.whole_pictures and not self._lenient)

    def close(self) -> None:
        """Release file, socket and decoder; may be called more than once."""
        self.demuxer.close()

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
        except Broken as broken:
            raise SourceFault(self._sentence(str(broken), index), index) from broken.__cause__

    def _sentence(self, reason: str, count: int) -> str:
        total = self.demuxer.announced
        announced = f" of {total}" if total and total > count else ""
        mend = "check the connection" if self._address.live else "copy or convert the video again to get the rest"
        frames = "frame" if count == 1 and not announced else "frames"
        return f"{self._address.name}: {reason}; {count}{announced} {frames} could be read: {mend}."

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Pictures in the order they are shown; raises Broken after the last one that is certainly intact."""
        try:
            for packet in self.demuxer.packets():
                yield from self._decode(packet)
            yield from self._decode(None)
            if self._pending.lost_at_end():
                raise Broken("the last frames are damaged", None)
        except Broken as broken:
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
        except av.FFmpegError as error:
            if self._lenient:
                return
            raise Broken("the video is damaged", packet.dts if packet else None) from error
        for picture in pictures:
            if not self._lenient:
                self._check(picture)
            yield picture

    def _check(self, picture: av.VideoFrame) -> None:
        if picture.is_corrupt:
            raise Broken("the video is damaged", picture.pts)
        if self._pending.leave(picture.pts):
            raise Broken("a frame is missing inside the video", picture.pts)

    def _leftover(self) -> list[av.VideoFrame]:
        """Intact pictures that were waiting in the decoder when packets stopped coming."""
        try:
            pictures = self._stream.decode(None)
        except av.FFmpegError:
            return []
        return [picture for picture in pictures if not picture.is_corrupt]


def _to_rgb(picture: av.VideoFrame) -> Frame:
    rgb = np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)
    # libav's angle and NumPy's turns are both counterclockwise.
    quarter_turns = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb
