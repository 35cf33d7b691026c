"""The two places a bundle can live in: a directory, or a .zip of it.  Both only list, size and open files.

Names handed out are safe: relative, inside the bundle, regular files.  What the files should hold is `reading.py`.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from fgvc_deploy.bundle.manifest import MANIFEST_NAME, MAX_ARTEFACTS, path_fault
from fgvc_deploy.errors import BundleError

# What zipfile and zlib raise on damaged, encrypted or exotic archives, and on one replaced since it was listed.
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
    KeyError,
)
# Ours have two levels; the limit keeps a hostile tree from exhausting the stack.
_MAX_DEPTH = 16
_MEND = "copy or export it again"


class Storage(Protocol):
    """Read access to the files of a bundle."""

    def sizes(self) -> dict[str, int]:
        """Every file's path inside the bundle -> its bytes."""
        ...

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open one file of `sizes()` for reading; a file that cannot be read raises `BundleError`."""
        ...


def open_storage(path: Path) -> Storage:
    """Storage of the bundle at `path`; `BundleError` when there is none."""
    if path.is_dir():
        return DirectoryStorage(path)
    if path.is_file():
        return ZipStorage(path)
    raise BundleError(f"{path}: no such bundle; give the folder or .zip that `fgvc-deploy export` wrote.")


class DirectoryStorage:
    """A bundle as a directory.  Links are refused: they could lead out of it, or change what was verified."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> dict[str, int]:
        """Every regular file below the directory; links and special files raise `BundleError`."""
        return dict(self._walk(self.path, ""))

    def _walk(self, folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
        if prefix.count("/") > _MAX_DEPTH:
            raise BundleError(
                f"{self.path}: has folders nested deeper than {_MAX_DEPTH}, which is no bundle of ours."
            )
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise BundleError(f"{folder}: cannot be listed ({error.strerror}); check its permissions.") from None
        for entry in entries:
            name = prefix + entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from self._walk(folder / entry.name, name + "/")
            elif stat.S_ISREG(mode):
                yield name, entry.stat(follow_symlinks=False).st_size
            else:
                what = "a link, which could leave the bundle" if stat.S_ISLNK(mode) else "not a regular file"
                raise BundleError(f"{self.path}: {name!r} is {what}; remove it, or put the file itself there.")

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading, without following a link put there since it was listed."""
        try:
            descriptor = os.open(self.path / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, "rb") as stream:
                yield stream
        except OSError as error:
            reason = error.strerror or error
            raise BundleError(f"{self.path}: {name!r} cannot be read ({reason}); {_MEND}.") from None


class ZipStorage:
    """A bundle as a .zip, with its files at the top or inside the one folder that was zipped.

    The archive is opened anew for each read, so a bundle holds no file handle.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._prefix = ""

    def sizes(self) -> dict[str, int]:
        """Every file in the archive; paths that leave it, links, duplicates and damage raise `BundleError`."""
        with self._archive() as archive:
            entries = archive.infolist()
        if len(entries) > 2 * MAX_ARTEFACTS:
            raise BundleError(f"{self.path}: has {len(entries)} entries, which is no bundle of ours.")
        for entry in entries:
            self._check(entry)
        files = [entry for entry in entries if not entry.is_dir()]
        names = [entry.filename for entry in files]
        self._prefix = _common_folder(names)
        sizes = {entry.filename.removeprefix(self._prefix): entry.file_size for entry in files}
        if len(sizes) != len(files):
            twice = next(name for name in names if names.count(name) > 1)
            raise BundleError(f"{self.path}: the archive holds {twice!r} twice; {_MEND}.")
        return sizes

    def _check(self, entry: zipfile.ZipInfo) -> None:
        # `orig_filename`: zipfile already cuts names at a NUL and turns back slashes round on Windows.
        name = entry.orig_filename.removesuffix("/") if entry.is_dir() else entry.orig_filename
        fault = path_fault(name)
        if fault is None and stat.S_ISLNK(entry.external_attr >> 16):
            fault = "is a link, which could leave the bundle"
        if fault is not None:
            raise BundleError(f"{self.path}: the entry {name!r} {fault}; do not use this archive.")

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open one entry for reading; what it really unpacks to is for the caller to bound."""
        with self._archive() as archive, archive.open(self._prefix + name) as stream:
            yield stream

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except _ZIP_FAULTS as error:
            raise BundleError(
                f"{self.path}: is not a readable .zip bundle ({error or type(error).__name__}); {_MEND}."
            ) from None


def _common_folder(names: list[str]) -> str:
    """'' or the 'folder/' that holds everything, when the manifest lies in it."""
    if MANIFEST_NAME in names or not names:
        return ""
    folder = names[0].partition("/")[0] + "/"
    inside = all(name.startswith(folder) for name in names)
    return folder if inside and folder + MANIFEST_NAME in names else ""
