"""The hidden folders beside a results folder: which are in use, which were left by killed runs.

`ResultsFolder` (writer.py) makes them; nothing here knows what they contain.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import time
from pathlib import Path

from fgvc_deploy.errors import OutputError

_LOCK = ".lock"
_GRACE_SECONDS = 10.0


def partial_name(out: Path) -> Path:
    """Where this process writes the results that will become `out`."""
    return out.with_name(f".{out.name}.partial-{os.getpid()}")


def replaced_name(out: Path) -> Path:
    """Where this process keeps the old `out` while the new one takes its place."""
    return out.with_name(f".{out.name}.replaced-{os.getpid()}")


def free_name(path: Path) -> Path:
    """The first of `path-2`, `path-3`, ... that does not exist."""
    return next(other for n in itertools.count(2) if not (other := path.with_name(f"{path.name}-{n}")).exists())


class FolderLock:
    """Marks a folder as in use until released or until the process dies.

    A lock, not the process id, tells whether a run is alive: in a container every run may be process 1.
    """

    def __init__(self, folder: Path) -> None:
        self._file: int | None = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self, folder: Path) -> None:
        """Let go, and remove the mark from the folder, which may have been renamed or deleted meanwhile."""
        (folder / _LOCK).unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _is_in_use(partial: Path) -> bool:
    try:
        lock = os.open(partial / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # Another run may have made the folder this instant and not locked it yet.
        return time.time() - partial.stat().st_mtime < _GRACE_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def clean_up(out: Path) -> None:
    """Remove what killed runs left beside `out`; OutputError when a run is still at work."""
    for partial in _siblings(out, "partial"):
        if _is_in_use(partial):
            raise OutputError(
                f"--out {out} is being written by another run; wait for it, choose another folder, or, if no run is "
                f"left, delete {partial}."
            )
        shutil.rmtree(partial, ignore_errors=True)
    for old in _siblings(out, "replaced"):
        # A run was killed between two renames: without a newer folder the old results are still the valid ones.
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(out)


def _siblings(out: Path, kind: str) -> list[Path]:
    if not out.parent.is_dir():
        return []
    prefix = f".{out.name}.{kind}-"
    beside = [path for path in out.parent.iterdir() if path.name.startswith(prefix)]
    return [path for path in beside if path.name.removeprefix(prefix).isdecimal()]
