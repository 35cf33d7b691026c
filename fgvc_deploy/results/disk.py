"""Failures of the disk as sentences.  Every writer of results goes through `disk_errors`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fgvc_deploy.errors import OutputError

_MENDS = {
    errno.ENOSPC: "the disk is full; free some space or choose another --out",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another --out",
    errno.EFBIG: "the file would be larger than this file system or your limit (ulimit -f) allows",
    errno.EACCES: "no permission to write there; choose another --out",
    errno.EPERM: "no permission to write there; choose another --out",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter --out",
    errno.ENOTDIR: "a part of the path is a file; choose another --out",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError raised inside into an OutputError that names `path`, what is wrong and what to do."""
    try:
        yield
    except OSError as error:
        reason = _MENDS.get(error.errno or 0, f"{error.strerror or error}; choose another --out")
        raise OutputError(f"{path} cannot be written: {reason}.") from error
