"""`ResultsFolder`: results appear under their final name only when all of them are there.

What is inside is written by `tracks_writer.py`, `mask_writer.py`, `fgvc_deploy.video.writer` and `run_json.py`; this
file decides where, and what happens when a run fails.  POSIX only: it relies on rename and flock.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from fgvc_deploy.errors import OutputError
from fgvc_deploy.results.disk import disk_errors
from fgvc_deploy.results.siblings import FolderLock, clean_up, free_name, partial_name, replaced_name


class ResultWriter(Protocol):
    """What `ResultsFolder.attach` takes."""

    def close(self) -> None:
        """Write what is still missing and close the files."""
        ...

    def abort(self) -> None:
        """Close the files; what was written will be deleted."""
        ...


Writer = TypeVar("Writer", bound=ResultWriter)


class ResultsFolder:
    """A folder of results that is either complete or absent; a context manager that aborts unless committed.

    Files are written to `path`, a hidden sibling `.NAME.partial-PID`, which `commit` renames to `out`.  With
    `overwrite` an existing folder keeps its old content until then and is replaced as a whole.  Left-overs of runs
    that were killed are removed.  `keep` names inputs: a folder that holds one is never written over.

    Raises OutputError when `out` is a file, a folder that is not empty (without `overwrite`), one that must not be
    replaced (the working directory, home, a mount point, a folder above one of them), or in use by another run.
    """

    def __init__(self, out: str | Path, *, overwrite: bool = False, keep: Sequence[str | Path] = ()) -> None:
        self.out = Path(out).expanduser().resolve()
        self._overwrite = overwrite
        self._writers: list[ResultWriter] = []
        self._made_parents: list[Path] = []
        self._lock: FolderLock | None = None
        self._finished = False
        with disk_errors(self.out):
            clean_up(self.out)
            _check_place(self.out, overwrite, [Path(path).resolve() for path in keep])
            self.path = partial_name(self.out)
            try:
                self._make_folder()
            except BaseException:
                self.abort()
                raise

    def _make_folder(self) -> None:
        for parent in reversed([parent for parent in self.out.parents if not parent.exists()]):
            parent.mkdir(exist_ok=True)
            self._made_parents.append(parent)
        self.path.mkdir()
        try:
            self._lock = FolderLock(self.path)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def attach(self, writer: Writer) -> Writer:
        """Have `writer` closed by `commit`, in the order of attaching, or aborted by `abort`; returns it."""
        self._writers.append(writer)
        return writer

    def write_text(self, name: str, text: str) -> None:
        """Write a small UTF-8 file into the folder."""
        with disk_errors(self.out / name):
            (self.path / name).write_text(text, encoding="utf-8")

    def close_writers(self) -> None:
        """Close every attached writer now, for callers that report on what they wrote before they commit."""
        while self._writers:
            self._writers[0].close()
            self._writers.pop(0)

    def commit(self) -> Path:
        """Close the writers and let the folder appear under its final name, which is returned.

        That is `out`; or, when something else has appeared there during the run, the first free `out-2`, `out-3`...
        """
        self.close_writers()
        with disk_errors(self.out):
            if not self._overwrite and self.out.exists() and not _is_empty_folder(self.out):
                self.out = free_name(self.out)
            self._swap()
        self._finished = True
        return self.out

    def _swap(self) -> None:
        old = replaced_name(self.out)
        if self.out.exists():
            self.out.rename(old)
        try:
            self.path.rename(self.out)
        except BaseException:
            if old.exists():
                old.rename(self.out)
            raise
        if self._lock:
            self._lock.release(self.out)
        shutil.rmtree(old, ignore_errors=True)

    def abort(self) -> None:
        """Delete everything that was written, made parent folders too; nothing happens after `commit`."""
        if self._finished:
            return
        self._finished = True
        for writer in self._writers:
            writer.abort()
        if self._lock:
            self._lock.release(self.path)
            shutil.rmtree(self.path, ignore_errors=True)
        for parent in reversed(self._made_parents):
            try:
                parent.rmdir()
            except OSError:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        # A container's user may have no entry in /etc/passwd; nothing to protect then.
        return Path("/")


def _check_place(out: Path, overwrite: bool, keep: Sequence[Path]) -> None:
    """Raise OutputError when results must not appear at `out`."""
    for place, what in ((Path.cwd(), "the working directory"), (_home(), "your home folder")):
        if place == out or out in place.parents:
            raise OutputError(f"--out {out} is or holds {what}; choose a folder of its own.")
    for path in keep:
        if out == path or out in path.parents:
            raise OutputError(f"--out {out} is or holds the input {path}; choose another folder.")
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"--out {out} is a file; choose the name of a folder.")
    if out.is_mount():
        raise OutputError(f"--out {out} is a mount point; choose a folder inside it.")
    if not overwrite and not _is_empty_folder(out):
        raise OutputError(f"--out {out} exists and is not empty; add --overwrite or choose another folder.")
