"""Sources that libav reads: video files, cameras and network streams, with a sentence for every way to fail to open.

Packets are `demuxer.py`'s business, pictures `decoder.py`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import av

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video.base import Frame, FrameSource
from fgvc_deploy.video.completeness import container_rules, missing_bytes
from fgvc_deploy.video.decoder import Decoder
from fgvc_deploy.video.demuxer import Address

_NETWORK = "check the address, that the server runs and that this machine reaches it"


class ContainerSource(FrameSource):
    """Frames of a container.  The first one is decoded on opening, so size and rotation are known.

    A file is opened anew for every pass; a live source has one pass.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._decoders: list[Decoder] = []
        self._closed = False
        self.name = address.name
        self.reopenable = not address.live
        self._first_pass: Iterator[Frame] | None = None
        decoder, first, rest = self._open()
        self.hw = (first.shape[0], first.shape[1])
        about = decoder.demuxer
        self.fps, self.frame_count, self.frame_estimate = about.fps, about.frame_count, about.frame_estimate
        self._first_pass = self._play(decoder, first, rest)

    def _open(self) -> tuple[Decoder, Frame, Iterator[Frame]]:
        decoder = _open_decoder(self._address)
        self._decoders.append(decoder)
        try:
            rest = decoder.frames()
            first = next(rest, None)
            if first is None:
                raise InputError(f"{self.name} holds no frames; record or export the video again.")
        except SourceFault as fault:
            self.close()
            raise InputError(str(fault)) from fault
        except BaseException:
            self.close()
            raise
        return decoder, first, rest

    def _play(self, decoder: Decoder, first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
        try:
            yield first
            yield from rest
        finally:
            decoder.close()
            if decoder in self._decoders:
                self._decoders.remove(decoder)

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise InputError(f"{self.name} has been closed; open the source again.")
        if self._first_pass is not None:
            frames, self._first_pass = self._first_pass, None
            return frames
        if not self.reopenable:
            raise InputError(f"{self.name} is a live source and can be read only once; save it to a file first.")
        return self._play(*self._open())

    def close(self) -> None:
        """Close every pass that is still open."""
        self._closed = True
        self._first_pass = None
        while self._decoders:
            self._decoders.pop().close()


def _open_decoder(address: Address) -> Decoder:
    start = time.monotonic()
    try:
        decoder = Decoder(address)
    except av.FFmpegError as error:
        raise InputError(_why_not(address, error, time.monotonic() - start)) from error
    except OSError as error:
        raise InputError(f"{address.name} cannot be read ({error.strerror}).") from error
    format_name = decoder.demuxer.format_name
    if address.path and (format_name.endswith("_pipe") or format_name == "image2"):
        decoder.close()
        raise InputError(single_image(address.name))
    return decoder


def single_image(name: str) -> str:
    """The sentence for a picture given where a clip is needed."""
    return (
        f"{name} is a single image, and of animated ones only GIF is read; give the folder of all frames, a pattern "
        "such as 'frames/*.png', or a video."
    )


def _why_not(address: Address, error: av.FFmpegError, seconds: float) -> str:
    name = address.name
    if address.path is None:
        # What libav reports after a timeout depends on the protocol; the clock does not.
        limit = address.timeout[0] if address.timeout else math.inf
        reason = f"no answer in {limit:g} s" if seconds >= limit else error.strerror
        if address.format is not None:
            return f"{name} cannot be opened ({reason}); check that no other program uses it."
        if "://" not in address.url:
            return f"{name} gives no video ({reason}); give a video file, a folder of images or a URL."
        return f"{name} cannot be reached ({reason}); {_NETWORK}."
    if isinstance(error, PermissionError):
        return f"{name} may not be read; change its permissions (chmod +r)."
    return _why_not_a_video(name, address.path)


def _why_not_a_video(name: str, path: Path) -> str:
    if path.stat().st_size == 0:
        return f"{name} is an empty file; copy or export the video again."
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] == b"ftyp"
    if is_mp4 and missing_bytes(path, container_rules("mov,mp4,m4a,3gp,3g2,mj2")):
        return (
            f"{name} is an MP4 that was cut short before its index (moov) was written, so no frame can be read; "
            "copy the whole file again, or record to MKV, which survives interruption."
        )
    return f"{name} is not a video that can be read, or is damaged; give a video file, a folder of images or a URL."
