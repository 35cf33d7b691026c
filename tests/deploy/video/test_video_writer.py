"""Encoded videos: playable, complete, right colours; disk errors and unknown codecs are sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError, OutputError
from fgvc_deploy.video import open_source, writer
from fgvc_deploy.video.writer import CODECS, VideoWriter, available_codecs
from full_disk import file_size_limit

Frame = NDArray[np.uint8]
FrameNumber = Callable[[Frame], int]
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (30, 120, 200), (220, 200, 20))


def write(path: Path, frames: list[Frame], codec: str = "h264", fps: float = 25.0) -> None:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, fps, (height, width), codec) as video:
        for frame in frames:
            video.write(frame)


def test_this_build_encodes_every_codec_of_the_table() -> None:
    assert available_codecs() == [codec.name for codec in CODECS] == ["h264", "vp9", "hevc", "mpeg4"]


@pytest.mark.parametrize("codec", [codec.name for codec in CODECS])
def test_colours_size_and_rate_survive(tmp_path: Path, codec: str) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    for position, colour in enumerate(COLOURS):
        frame[:, 16 * position : 16 * position + 16] = colour
    write(tmp_path / "a.mp4", [frame] * 5, codec, fps=30000 / 1001)
    with open_source(tmp_path / "a.mp4") as source:
        assert (source.hw, source.frame_count) == ((64, 96), 5)
        assert source.fps == pytest.approx(30000 / 1001)
        last = list(source)[-1]
    seen = last[32, 8::16].astype(int)
    assert np.abs(seen - COLOURS).max() <= 4


def test_mp4_can_play_while_it_loads_and_says_its_colours(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [np.full((64, 96, 3), 90, np.uint8)] * 3)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range, context.color_primaries, context.color_trc) == (1, 1, 1, 1)


def test_every_frame_arrives_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = rng.permutation(np.arange(20, 236, 4)).astype(np.uint8)
    write(tmp_path / "a.mp4", [np.full((64, 96, 3), level, np.uint8) for level in levels])
    with open_source(tmp_path / "a.mp4") as source:
        means = [frame.mean() for frame in source]
    np.testing.assert_allclose(means, levels, atol=1.5)


@pytest.mark.parametrize("hw", [(65, 97), (65, 96), (64, 97), (33, 35)])
def test_odd_sides_are_padded_and_nothing_moves(tmp_path: Path, hw: tuple[int, int]) -> None:
    smooth = np.fromfunction(lambda y, x: 40 + y + x, hw).astype(np.uint8)
    frame = np.repeat(smooth[..., None], 3, axis=2)
    write(tmp_path / "a.mp4", [frame] * 2)
    with open_source(tmp_path / "a.mp4") as source:
        got = next(iter(source))
    assert got.shape == (hw[0] + hw[0] % 2, hw[1] + hw[1] % 2, 3)
    assert np.abs(got[: hw[0], : hw[1]].astype(int) - frame).max() <= 4


def test_unknown_codec_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot encode 'dirac'; choose --codec from h264, vp9, hevc, mpeg4"):
        VideoWriter(tmp_path / "a.mp4", 25, (64, 96), "dirac")
    assert not list(tmp_path.iterdir())


def test_codec_that_this_build_lacks_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_has_encoder", lambda name: name != "libx264")
    with pytest.raises(InputError, match="'h264'; choose --codec from vp9, hevc, mpeg4"):
        VideoWriter(tmp_path / "a.mp4", 25, (64, 96))


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25, (64, 96)) as video:
        with pytest.raises(ValueError, match="expected uint8"):
            video.write(np.zeros((64, 97, 3), np.uint8))
        video.write(np.zeros((64, 96, 3), np.uint8))


@pytest.mark.parametrize("codec", ["h264", "vp9", "mpeg4"])
def test_full_disk_is_noticed_wherever_the_file_ends(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(4)]
    write(tmp_path / "a.mp4", frames, codec)
    size = (tmp_path / "a.mp4").stat().st_size
    noticed = 0
    for limit in [*range(0, size, size // 15), size - 20, size - 1]:
        try:
            with file_size_limit(limit):
                write(tmp_path / "a.mp4", frames, codec)
        except OutputError as error:
            noticed += "cannot be written: the file would be larger" in str(error)
        else:
            # Threaded encoders do not give the same size each time: this one fitted.
            with open_source(tmp_path / "a.mp4") as source:
                assert sum(1 for _ in source) == len(frames)
    assert noticed >= 14


def test_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.mp4 cannot be written"):
        write(tmp_path / "gone" / "a.mp4", [np.zeros((64, 96, 3), np.uint8)])


def test_abort_closes_the_file(tmp_path: Path) -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        video = VideoWriter(tmp_path / "a.mp4", 25, (64, 96))
        video.write(np.zeros((64, 96, 3), np.uint8))
        video.abort()
        video.abort()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
