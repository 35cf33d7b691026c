"""A temporary file of frames, for passes that read a video backwards without holding it in memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import OutputError

Frame = NDArray[np.uint8]


class FrameSpool:
    """Frames of one shape, stored raw in an unnamed file of the temporary folder (TMPDIR); a context manager.

    The file takes T * H * W * 3 bytes of disk for RGB frames and is gone when the context ends.  Raises OutputError
    when it cannot be written.
    """

    def __init__(self) -> None:
        with _temporary_folder_errors():
            self._file = tempfile.TemporaryFile(prefix="fgvc-spool-")  # noqa: SIM115  closed by __exit__
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def __enter__(self) -> FrameSpool:
        return self

    def __exit__(self, *_: object) -> None:
        # What a full disk kept from being written is not wanted any longer.
        with contextlib.suppress(OSError):
            self._file.close()

    def __len__(self) -> int:
        return self._count

    def record(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Pass frames on, keeping a copy of each."""
        for frame in frames:
            self._shape = frame.shape
            with _temporary_folder_errors():
                self._file.write(np.ascontiguousarray(frame).data)
            self._count += 1
            yield frame

    def forward(self, newest: int | None = None) -> Iterator[Frame]:
        """The recorded frames from the first to number `newest` (None: the last)."""
        end = self._count if newest is None else newest + 1
        return (self._read(position) for position in range(end))

    def backward(self, newest: int | None = None, oldest: int = 0) -> Iterator[Frame]:
        """The recorded frames from number `newest` (None: the last) to number `oldest`."""
        start = self._count - 1 if newest is None else newest
        return (self._read(position) for position in range(start, oldest - 1, -1))

    def _read(self, position: int) -> Frame:
        size = int(np.prod(self._shape))
        with _temporary_folder_errors():
            self._file.seek(position * size)
            content = self._file.read(size)
        return np.frombuffer(content, np.uint8).reshape(self._shape)


@contextlib.contextmanager
def _temporary_folder_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Frames cannot wait in the temporary folder ({error.strerror or error}): a video is read backwards from "
            "its raw frames on disk; free some space, or name another folder in TMPDIR."
        ) from error
