"""What was made on this machine for this machine, kept between starts: engines, and code compiled inside them.

An entry is one file: a line of JSON that says what it is for and how to know that it is whole, then the content.
Whatever does not fit, is damaged, or could have been put there by somebody else counts as not there.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fgvc_deploy.bundle.engine_key import EngineKey
from fgvc_deploy.bundle.manifest import Sha256
from fgvc_deploy.settings import FrozenModel

Kind = Literal["engine", "jit"]
"""`engine`: what a builder made.  `jit`: what TensorRT-RTX compiled for this GPU while an engine ran."""
MAX_HEADER_BYTES = 1 << 14
OTHERS_MAY_WRITE = 0o022


class Header(FrozenModel):
    """The first line of an entry."""

    schema_version: Literal[1] = 1
    kind: Kind
    key: EngineKey
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class EngineCache:
    """Entries by key, in a folder; None is $FGVC_CACHE, else ~/.cache/fgvc-deploy.  Several processes may use it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(os.environ.get("FGVC_CACHE") or Path.home() / ".cache" / "fgvc-deploy")

    def path(self, kind: Kind, key: EngineKey) -> Path:
        """Where an entry with exactly this key lies, if there is one."""
        return self.folder / f"{key.digest}.{kind}"

    def timing_file(self, key: EngineKey) -> Path:
        """Where TensorRT keeps the times it measured for engines of this chip; it checks the content itself."""
        return self.folder / f"{key.chip}-{key.runtime}{key.runtime_version}.timing"

    def load(self, kind: Kind, key: EngineKey) -> bytes | None:
        """The content with exactly this key, verified; None for anything else."""
        try:
            with self.path(kind, key).open("rb") as stream:
                if not _is_ours(os.fstat(stream.fileno())):
                    return None
                header = Header.model_validate_json(stream.readline(MAX_HEADER_BYTES), strict=True)
                content = stream.read(header.bytes + 1)
        except (OSError, ValidationError):
            return None
        whole = len(content) == header.bytes and hashlib.sha256(content).hexdigest() == header.sha256
        return content if whole and (header.kind, header.key) == (kind, key) else None

    def store(self, kind: Kind, key: EngineKey, content: bytes) -> bool:
        """Put an entry there, whole or not at all; False where the folder cannot be written: that costs only time."""
        digest = hashlib.sha256(content).hexdigest()
        header = Header(kind=kind, key=key, bytes=len(content), sha256=digest).model_dump_json().encode()
        try:
            write_whole(self.path(kind, key), header + b"\n" + content)
        except OSError:
            return False
        return True

    def forget(self, kind: Kind, key: EngineKey) -> None:
        """Remove an entry, if it is there and may be removed."""
        with suppress(OSError):
            self.path(kind, key).unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that only this user may change, whole or not at all; others may write the same one meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _is_ours(status: os.stat_result) -> bool:
    """Whether only this user or root can have written a file: an engine is code that runs on the GPU."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (0, os.getuid()) and not status.st_mode & OTHERS_MAY_WRITE
