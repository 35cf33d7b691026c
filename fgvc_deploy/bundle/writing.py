"""Write a bundle so that it is either whole or absent: into a temporary sibling, verified, then renamed.

What goes in is decided by fgvc_export; this module adds hashes, the manifest and the model card.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fgvc_deploy.bundle.card import model_card
from fgvc_deploy.bundle.manifest import (
    CARD_NAME,
    MANIFEST_NAME,
    Artefact,
    ArtefactKind,
    Manifest,
    ParityFigure,
    ParityNotRun,
    Provenance,
)
from fgvc_deploy.bundle.reading import Bundle, open_bundle
from fgvc_deploy.errors import OutputError
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings

# A fixed time makes the archive a function of its content.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Payload:
    """One file to ship: the fields of `Artefact` that the content does not determine, and the content."""

    kind: ArtefactKind
    target: str
    path: str
    content: bytes
    precision: str | None = None
    parity: tuple[ParityFigure | ParityNotRun, ...] = ()

    def describe(self) -> Artefact:
        """The manifest's entry for this file."""
        return Artefact(
            kind=self.kind,
            target=self.target,
            precision=self.precision,
            path=self.path,
            bytes=len(self.content),
            sha256=hashlib.sha256(self.content).hexdigest(),
            parity=self.parity,
        )


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """Everything a bundle says and holds, before it is written."""

    encoder: EncoderSettings
    preprocess: PreprocessSettings
    propagation: PropagationSettings
    default_size: str
    provenance: Provenance
    payloads: tuple[Payload, ...]

    def manifest(self, *extra: Payload) -> Manifest:
        """The manifest of this draft with `extra` files beside its own."""
        return Manifest(
            encoder=self.encoder,
            preprocess=self.preprocess,
            propagation=self.propagation,
            default_size=self.default_size,
            artefacts=tuple(payload.describe() for payload in (*self.payloads, *extra)),
            provenance=self.provenance,
        )


def check_destination(out: Path, *, overwrite: bool = False) -> None:
    """Raise `OutputError` unless a bundle may be written at `out`; call it before long work.

    Free: nothing there, or an empty directory.  With `overwrite` also an older bundle, but nothing else: a mistyped
    path must not delete somebody's files.
    """
    if not os.path.lexists(out) or (out.is_dir() and not _is_zip(out) and not any(out.iterdir())):
        return
    if out.is_dir() == _is_zip(out) or not _is_bundle(out):
        raise OutputError(
            f"{out}: exists and is not a bundle of this form; choose another path, nothing was changed."
        )
    if not overwrite:
        raise OutputError(f"{out}: exists already; choose another path, or replace it with --overwrite.")


def write_bundle(draft: BundleDraft, out: str | Path, *, overwrite: bool = False) -> Bundle:
    """Write `draft` at `out`, a directory or, when the name ends in .zip, an archive; return it opened and verified.

    Raises `OutputError` when it cannot be written there; then nothing is left and an older bundle stays as it was.
    """
    out = Path(out)
    check_destination(out, overwrite=overwrite)
    # Through a link: replace what it points to, not the link.
    real = Path(os.path.realpath(out))
    card = Payload("document", "markdown", CARD_NAME, model_card(draft.manifest()).encode())
    files = {MANIFEST_NAME: draft.manifest(card).to_json()}
    files |= {payload.path: payload.content for payload in (*draft.payloads, card)}
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_sibling(real) as partial:
            (_write_zip if _is_zip(real) else _write_directory)(partial, files)
            open_bundle(partial)
            _move_into_place(partial, real)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); nothing was left behind.") from None
    return open_bundle(out)


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _is_bundle(path: Path) -> bool:
    return zipfile.is_zipfile(path) if _is_zip(path) else (path / MANIFEST_NAME).is_file()


@contextmanager
def _temporary_sibling(out: Path) -> Iterator[Path]:
    """A free path beside `out` (same file system, so it can be renamed); removed again if it is still there."""
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write_directory(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def _move_into_place(partial: Path, out: Path) -> None:
    if not out.is_dir():
        partial.replace(out)  # atomic, also over an older archive
        return
    # A directory cannot be replaced atomically: put the old one aside, and back if the new one cannot take its place.
    with _temporary_sibling(out) as old:
        out.rename(old)
        try:
            partial.rename(out)
        except BaseException:
            old.rename(out)
            raise
