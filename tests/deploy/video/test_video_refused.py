"""Files that cannot be opened as a clip at all: each with its own sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video import open_source

Clip = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.mp4", None, "no file or folder"),
        ("empty.mp4", b"", "is an empty file"),
        ("text.mp4", b"this is not a video\n" * 50, "is not a video"),
        ("noise.mkv", np.random.default_rng(0).bytes(5000), "is not a video"),
        ("picture", b"\xff\xd8\xff\xe0", "is a single image"),
    ],
)
def test_files_that_are_no_clip(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, SourceFault)


def test_mp4_without_its_index_says_so(clip: Clip) -> None:
    path = clip("a.mp4")
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(InputError, match="cut short before its index"):
        open_source(path)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_video_without_frames(clip: Clip, seconds: float) -> None:
    with pytest.raises(InputError, match=r"holds no (frames|video)"):
        open_source(clip("zero.mp4", count=0, sound_seconds=seconds))


def test_unreadable_file(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("a.mp4", count=2)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("av.open", refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied"):
        open_source(path)


@pytest.mark.parametrize("source", [[np.zeros((4, 4, 3), np.uint8)], None, 0.5], ids=["list", "None", "float"])
def test_objects_that_name_no_clip(source: Any) -> None:
    with pytest.raises(InputError, match=rf"^A {type(source).__name__} is no source"):
        open_source(source)
