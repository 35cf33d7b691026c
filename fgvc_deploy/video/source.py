"""`open_source`: from what a user names to frames.  The table of the kinds of source is here, and nothing else.

How each kind is read: `container.py` (files, cameras, networks), `images.py`, `array.py`.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.video.array import ArraySource
from fgvc_deploy.video.base import FrameSource
from fgvc_deploy.video.container import ContainerSource, single_image
from fgvc_deploy.video.demuxer import Address
from fgvc_deploy.video.images import IMAGE_SUFFIXES, ImagesSource, is_image

Source = str | Path | NDArray[np.uint8]

_OPEN_TIMEOUT, _READ_TIMEOUT = 10.0, 10.0
_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "srt")


def _camera_device(number: int) -> Path:
    return Path(f"/dev/video{number}")


def _open_camera(text: str) -> FrameSource:
    device = _camera_device(int(text))
    if not device.exists():
        found = ", ".join(sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*")))
        have = f"cameras here: {found}" if found else "this machine has no camera (no /dev/video*)"
        raise InputError(f"There is no camera {int(text)}; {have}; a file or folder of that name is './{text}'.")
    return ContainerSource(
        Address(
            f"camera {int(text)}", str(device), "video4linux2,v4l2", timeout=(_OPEN_TIMEOUT, _READ_TIMEOUT), live=True
        )
    )


def _open_url(text: str) -> FrameSource:
    options = {"rtsp_transport": "tcp"} if text.lower().startswith("rtsp") else {}
    timeout = (_OPEN_TIMEOUT, _READ_TIMEOUT)
    return ContainerSource(Address(without_password(text), text, None, options, timeout, live=True))


def without_password(source: str) -> str:
    """A source as it may be shown: camera addresses carry credentials, and run.json is passed around."""
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def _open_folder(text: str) -> FrameSource:
    paths = [path for path in Path(text).iterdir() if is_image(path) and path.is_file()]
    if not paths:
        raise InputError(f"{text} is a folder without images ({' '.join(IMAGE_SUFFIXES)}); give a folder of frames.")
    return ImagesSource(text, paths)


def _open_file(text: str) -> FrameSource:
    path = Path(text)
    if is_image(path):
        raise InputError(single_image(text))
    if stat.S_ISREG(path.stat().st_mode):
        return ContainerSource(Address(text, f"file:{text}", path=path))
    return ContainerSource(Address(text, text, live=True))


def pattern_images(text: str) -> list[Path]:
    """Image files that a glob pattern matches, in no order.  Raises InputError for a pattern that has no meaning."""
    # Path.glob takes relative patterns only.
    root = Path(Path(text).anchor)
    try:
        return [path for path in root.glob(str(Path(text).relative_to(root))) if is_image(path) and path.is_file()]
    except ValueError as error:
        raise InputError(f"{text} is no pattern to search for ({error}); use one such as 'frames/*.png'.") from None


def _open_pattern(text: str) -> FrameSource:
    paths = pattern_images(text)
    if not paths:
        raise InputError(
            f"No image matches {text}; check the pattern, and quote it so that the shell leaves it alone."
        )
    return ImagesSource(text, paths)


def _open_nothing(text: str) -> FrameSource:
    raise InputError(f"There is no file or folder {text}; check the path.")


class SourceKind(NamedTuple):
    """One kind of source: what the user writes, how that is recognised, and how it is opened."""

    name: str
    example: str
    matches: Callable[[str], bool]
    open: Callable[[str], FrameSource]


SOURCE_KINDS: tuple[SourceKind, ...] = (
    SourceKind("camera", "0", lambda text: text.isdecimal() and text.isascii(), _open_camera),
    SourceKind("URL", "rtsp://camera.local/stream", lambda text: _scheme(text) in _SCHEMES, _open_url),
    SourceKind("folder of images", "frames/", lambda text: Path(text).is_dir(), _open_folder),
    SourceKind("video file", "clip.mp4", lambda text: Path(text).exists(), _open_file),
    SourceKind("pattern of images", "frames/*.png", glob.has_magic, _open_pattern),
    SourceKind("nothing", "", lambda text: True, _open_nothing),
)
"""In the order they are tried: the first that matches is opened."""


def _scheme(text: str) -> str:
    return text.partition("://")[0].lower() if "://" in text else ""


def open_source(source: str | int | os.PathLike[str] | NDArray[Any]) -> FrameSource:
    """Open a clip: video file, folder or glob pattern of images, camera index, URL, uint8 RGB array [T, H, W, 3].

    Strings are tried against `SOURCE_KINDS` from top to bottom, so "0" is a camera and "./0" a file.  A single image
    is refused: there is nothing to track on one frame, and most often its folder was meant.  Cameras are read through
    Video4Linux (Linux only); network streams over TCP with 10 s timeouts, and only once.

    Returns an open `FrameSource`: use it in a `with` statement.  Raises InputError when there is nothing to read.
    """
    if isinstance(source, np.ndarray):
        return ArraySource(source)
    if not isinstance(source, str | int | os.PathLike):
        raise InputError(
            f"A {type(source).__name__} is no source; give a path, a camera number, a URL or a uint8 RGB array "
            "[T, H, W, 3] (np.stack makes one of a list of frames)."
        )
    text = str(source)
    if not text.strip():
        raise InputError("The name of the source is empty; give a video file, a folder of images or a URL.")
    if isinstance(source, os.PathLike) and text.isdecimal():
        text = f"./{text}"
    try:
        kind = next(kind for kind in SOURCE_KINDS if kind.matches(text))
        return kind.open(text)
    except OSError as error:
        raise InputError(f"{text} cannot be read ({error.strerror}).") from error
