"""Holding back what a C library prints to the terminal, which would break `--json` and the progress bar.

Nothing is lost: the caller gets the lines, and passes on those it does not expect.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

_lock = threading.Lock()


@contextmanager
def held_output() -> Iterator[list[str]]:
    """Collect in the list, once the block has ended, every line that anything printed inside it.

    File descriptors 1 and 2 of the whole process go to a temporary file meanwhile, so keep the block short.
    """
    lines: list[str] = []
    with _lock, tempfile.TemporaryFile() as file:
        saved = _redirect(file)
        try:
            yield lines
        finally:
            _flush()
            for descriptor, copy in saved:
                os.dup2(copy, descriptor)
                os.close(copy)
            file.seek(0)
            lines += [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def _redirect(file: IO[bytes]) -> list[tuple[int, int]]:
    """Send both descriptors to the file; returns (descriptor, copy of where it went) of those that are open."""
    _flush()
    saved = []
    for descriptor in (1, 2):
        with suppress(OSError):  # closed, as in a daemon
            saved.append((descriptor, os.dup(descriptor)))
            os.dup2(file.fileno(), descriptor)
    return saved


def _flush() -> None:
    """Empty the buffers above the descriptors: Python's, and the C library's, which is a file's when piped."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with suppress(OSError, TypeError, AttributeError):  # no C library of that kind
        ctypes.CDLL(None).fflush(None)
