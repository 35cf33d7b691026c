"""Fixtures of the video tests: tiny clips, made on the spot, whose frames tell their own number."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Clip = Callable[..., Path]
BITS = 8


def numbered_frame(number: int, hw: tuple[int, int]) -> Frame:
    """Noise that moves, with the number as eight black or white blocks along the top."""
    noise = np.random.default_rng(7).integers(40, 216, (hw[0] // 4 + 1, hw[1] // 4 + 1, 3), dtype=np.uint8)
    frame = np.roll(noise.repeat(4, 0).repeat(4, 1)[: hw[0], : hw[1]], 3 * number, axis=1)
    block = hw[1] // BITS
    for bit in range(BITS):
        frame[:16, bit * block : (bit + 1) * block] = 255 * (number >> bit & 1)
    return frame


def number_of(frame: Frame) -> int:
    """The number that `numbered_frame` wrote, also after lossy coding."""
    block = frame.shape[1] // BITS
    return sum(int(frame[4:12, bit * block + 2 : (bit + 1) * block - 2].mean() > 127) << bit for bit in range(BITS))


@pytest.fixture(scope="session")
def frame_number() -> Callable[[Frame], int]:
    return number_of


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """`clip("a.mp4", "libx264", count=60)` writes numbered frames and returns the path."""

    def write(
        name: str,
        codec: str = "libx264",
        *,
        count: int = 40,
        hw: tuple[int, int] = (64, 96),
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
        rotation: int = 0,
        times: list[int] | None = None,
        sound_seconds: float = 0.0,
        title: str | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}) as container:
            container.metadata.update({"title": title} if title else {})
            stream = container.add_stream(codec, rate=Fraction(25), options=options or {})
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = hw
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.set_display_rotation(rotation)
            sound = container.add_stream("aac" if "mp4" in name else "libopus", rate=48000) if sound_seconds else None
            if sound is not None:
                container.mux(_silence(sound, sound_seconds))
            container.start_encoding()
            for number in range(count):
                picture = av.VideoFrame.from_ndarray(numbered_frame(number, hw), format="rgb24")
                picture.pts = times[number] if times else number
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return write


def _silence(stream: Any, seconds: float) -> list[Any]:
    samples = np.zeros((1, 960), np.float32)
    packets: list[Any] = []
    for piece in range(round(seconds * 48000 / 960)):
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, piece * 960
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets
