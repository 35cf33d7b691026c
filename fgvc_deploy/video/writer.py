"""`VideoWriter`: frames to a video file.  What is drawn on the frames: `fgvc_deploy.overlay`.

Encoding H.264 uses x264, which PyAV's wheels bundle and which is under the GPL: whoever ships those wheels together
with an application has to honour it.  VP9 (libvpx, BSD) plays in browsers too; `--codec vp9` avoids x264.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.results.disk import disk_errors
from fgvc_deploy.video.base import Frame

_BT709 = 1
_LIMITED_RANGE = 1


@dataclass(frozen=True, slots=True)
class VideoCodec:
    """How one codec is asked for: libav's encoder, its options, and whether today's browsers play the result."""

    name: str
    encoder: str
    options: dict[str, str] = field(default_factory=dict)
    browser: bool = True


CODECS: tuple[VideoCodec, ...] = (
    VideoCodec("h264", "libx264", {"preset": "veryfast", "crf": "18"}),
    VideoCodec("vp9", "libvpx-vp9", {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
    VideoCodec(
        "hevc", "libx265", {"preset": "veryfast", "crf": "22", "x265-params": "log-level=none"}, browser=False
    ),
    VideoCodec("mpeg4", "mpeg4", {"qmin": "3", "qmax": "5"}, browser=False),
)


def available_codecs() -> list[str]:
    """Names of the codecs that this build of PyAV can encode."""
    return [codec.name for codec in CODECS if _has_encoder(codec.encoder)]


def _has_encoder(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _find_codec(name: str) -> VideoCodec:
    for codec in CODECS:
        if codec.name == name and _has_encoder(codec.encoder):
            return codec
    raise InputError(f"This PyAV cannot encode {name!r}; choose --codec from {', '.join(available_codecs())}.")


class VideoWriter:
    """Writes uint8 RGB frames of one size to an MP4 whose index comes first, so that it plays while it loads.

    `hw` is (height, width) of the frames; yuv420p needs even numbers, so an odd side is padded by repeating its last
    row or column (nothing is cut off, and pixel (0, 0) stays where it is).  Colours are BT.709, limited range, and
    tagged so.  Memory is constant; the encoder looks a few dozen frames ahead.

    Raises InputError for a codec that is unknown or missing here, OutputError when the disk is full.
    """

    def __init__(self, path: Path, fps: float, hw: tuple[int, int], codec: str = "h264") -> None:
        self.path = path
        self._hw = hw
        self._count = 0
        chosen = _find_codec(codec)
        with disk_errors(path):
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        try:
            with disk_errors(path):
                self._stream = self._add_stream(chosen, fps)
        except BaseException:
            self.abort()
            raise

    def _add_stream(self, codec: VideoCodec, fps: float) -> av.VideoStream:
        rate = Fraction(fps).limit_denominator(1001)
        stream = self._container.add_stream(codec.encoder, rate=rate, options=dict(codec.options))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = (side + side % 2 for side in self._hw)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        return stream

    def write(self, frame: Frame) -> None:
        """Add the next frame, uint8 RGB [H, W, 3]."""
        if frame.shape != (*self._hw, 3) or frame.dtype != np.uint8:
            raise ValueError(f"expected uint8 {(*self._hw, 3)}, got {frame.dtype} {frame.shape}")
        height, width = self._hw
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
        picture.pts = self._count
        with disk_errors(self.path):
            self._container.mux(self._stream.encode(picture))
        self._count += 1

    def close(self) -> None:
        """Write what the encoder still holds and finish the file."""
        with disk_errors(self.path):
            if self._count:
                self._container.mux(self._stream.encode(None))
            self._container.close()

    def abort(self) -> None:
        """Close the file without caring for its content."""
        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
