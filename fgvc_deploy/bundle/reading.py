"""Open a bundle: check that it holds exactly what its manifest lists, then hand out its artefacts as bytes.

Nothing here runs or unpickles anything; what an artefact means is for the backend that takes its bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from fgvc_deploy.bundle.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Artefact,
    ArtefactKind,
    Manifest,
    parse_manifest,
)
from fgvc_deploy.bundle.storage import Storage, open_storage
from fgvc_deploy.errors import BundleError

_CHUNK = 1 << 20


class Bundle:
    """A verified bundle.  Made by `open_bundle`; holds no file handle and no artefact in memory."""

    def __init__(self, path: Path, manifest: Manifest, storage: Storage, manifest_sha256: str) -> None:
        self.path = path
        self.manifest = manifest
        self.sha256 = manifest_sha256
        """sha256 of manifest.json; since that lists the hash of every artefact, it identifies the whole bundle."""
        self._storage = storage

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, arch={self.manifest.encoder.arch!r})"

    def find(self, *, kind: ArtefactKind, target: str | None = None, precision: str | None = None) -> Artefact:
        """The first artefact of this kind, and of this target and precision when given.

        Raises `BundleError` naming what the bundle has instead.
        """
        same_kind = [artefact for artefact in self.manifest.artefacts if artefact.kind == kind]
        for artefact in same_kind:
            if target in (None, artefact.target) and precision in (None, artefact.precision):
                return artefact
        wanted = " ".join(part for part in (precision, target, kind) if part)
        have = ", ".join(f"{a.precision or ''} {a.target}".strip() for a in same_kind) or "none"
        raise BundleError(
            f"{self.path}: has no {wanted} (of this kind it has: {have}); "
            "export the checkpoint again with the --target and --precision you need."
        )

    def read(self, artefact: Artefact) -> bytes:
        """Content of an artefact, verified again: the file may have changed since the bundle was opened."""
        with self._storage.open(artefact.path) as stream:
            content = stream.read(artefact.bytes + 1)
        _check_content(self.path, artefact, len(content), hashlib.sha256(content).hexdigest())
        return content


def open_bundle(path: str | Path) -> Bundle:
    """Open the bundle at `path` (a directory, or a .zip of one) and verify every file in it.

    Raises `BundleError`: no such bundle; a missing, changed or extra file; a path that leaves the bundle; a manifest
    that is damaged or from a newer version.
    """
    path = Path(path)
    storage = open_storage(path)
    sizes = storage.sizes()
    text = _read_manifest(path, storage, sizes)
    manifest = parse_manifest(text, str(path))
    _check_names(path, manifest, sizes)
    for artefact in manifest.artefacts:
        # The size in the listing first: a zip bomb is refused before a byte of it is unpacked.
        if sizes[artefact.path] != artefact.bytes:
            _check_content(path, artefact, sizes[artefact.path], "")
        with storage.open(artefact.path) as stream:
            _check_content(path, artefact, *_measure(stream, artefact.bytes))
    return Bundle(path, manifest, storage, hashlib.sha256(text).hexdigest())


def _read_manifest(path: Path, storage: Storage, sizes: dict[str, int]) -> bytes:
    if MANIFEST_NAME not in sizes:
        raise BundleError(
            f"{path}: has no {MANIFEST_NAME}, so it is not a bundle; make one with `fgvc-deploy export`."
        )
    with storage.open(MANIFEST_NAME) as stream:
        text = stream.read(MAX_MANIFEST_BYTES + 1)
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{path}: {MANIFEST_NAME} is over {MAX_MANIFEST_BYTES} bytes, which is no manifest of ours."
        )
    return text


def _check_names(path: Path, manifest: Manifest, sizes: dict[str, int]) -> None:
    listed = {artefact.path for artefact in manifest.artefacts} | {MANIFEST_NAME}
    missing = sorted(listed - sizes.keys())
    extra = sorted(sizes.keys() - listed)
    if missing:
        raise BundleError(f"{path}: lacks {_names(missing)} that its manifest lists; copy the bundle again, whole.")
    if extra:
        raise BundleError(
            f"{path}: holds {_names(extra)} that its manifest does not list; remove what is not part of it."
        )


def _measure(stream: IO[bytes], limit: int) -> tuple[int, str]:
    """Bytes and sha256 of a stream, reading at most one byte more than `limit`."""
    digest = hashlib.sha256()
    size = 0
    while size <= limit and (chunk := stream.read(min(_CHUNK, limit + 1 - size))):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def _check_content(path: Path, artefact: Artefact, size: int, sha256: str) -> None:
    if size == artefact.bytes and sha256 == artefact.sha256:
        return
    if size != artefact.bytes:
        what = f"it should be {artefact.bytes} bytes long and is not"
    else:
        what = "its sha256 is another than the manifest's"
    raise BundleError(
        f"{path}: {artefact.path!r} was changed since the bundle was made ({what}); copy the bundle again."
    )


def _names(paths: list[str]) -> str:
    shown = ", ".join(repr(path) for path in paths[:5])
    return shown if len(paths) <= 5 else f"{shown} and {len(paths) - 5} more"
