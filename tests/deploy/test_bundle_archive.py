"""Opening a .zip of a bundle: the same as the directory, and every hostile or damaged archive is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fgvc_deploy.bundle import Bundle, BundleDraft, open_bundle, reading
from fgvc_deploy.errors import BundleError


def zip_of(bundle_folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(p for p in bundle_folder.rglob("*") if p.is_file()):
            target.write(file, prefix + file.relative_to(bundle_folder).as_posix())
    return path


def test_a_zip_of_the_folder_itself_opens(bundle_draft: BundleDraft, bundle_folder: Path, tmp_path: Path) -> None:
    bundle = open_bundle(zip_of(bundle_folder, tmp_path / "zipped.zip", "bundle/"))
    assert bundle.read(bundle.find(kind="encoder")) == bundle_draft.payloads[0].content


def test_zip_entries_that_leave_the_bundle(bundle_folder: Path, tmp_path: Path) -> None:
    for name in ("../evil", "/evil", "a/../../evil", "back\\slash"):
        path = zip_of(bundle_folder, tmp_path / "bad.zip")
        with zipfile.ZipFile(path, "a") as target:
            target.writestr(name, b"x")
        with pytest.raises(BundleError, match=r"leaves the bundle|not a plain relative path"):
            open_bundle(path)


def test_a_link_in_a_zip_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    path = zip_of(bundle_folder, tmp_path / "bad.zip")
    with zipfile.ZipFile(path, "a") as target:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        target.writestr(entry, b"/etc/passwd")
    with pytest.raises(BundleError, match="'link' is a link"):
        open_bundle(path)


def test_an_entry_that_occurs_twice_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    path = zip_of(bundle_folder, tmp_path / "bad.zip")
    with zipfile.ZipFile(path, "a") as target, pytest.warns(UserWarning, match="Duplicate name"):
        target.writestr("encoder.onnx", b"other")
    with pytest.raises(BundleError, match=r"holds 'encoder\.onnx' twice"):
        open_bundle(path)


def test_extra_and_missing_files_in_a_zip(bundle_folder: Path, tmp_path: Path) -> None:
    (bundle_folder / "extra").write_bytes(b"x")
    with pytest.raises(BundleError, match="holds 'extra'"):
        open_bundle(zip_of(bundle_folder, tmp_path / "extra.zip"))
    (bundle_folder / "extra").unlink()
    (bundle_folder / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks 'encoder\.onnx'"):
        open_bundle(zip_of(bundle_folder, tmp_path / "missing.zip"))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(p for p in bundle_folder.rglob("*") if p.is_file()):
            bomb = file.name == "encoder.onnx"
            target.writestr(file.relative_to(bundle_folder).as_posix(), bytes(1 << 28) if bomb else file.read_bytes())
    monkeypatch.setattr(reading, "_measure", lambda *_: pytest.fail("the bomb was unpacked"))
    with pytest.raises(BundleError, match="should be 10240 bytes long"):
        open_bundle(path)


def test_a_zip_whose_listing_lies_about_the_size_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    """The central directory says 10240 bytes, the data unpack to more: only the promised bytes are read."""
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(p for p in bundle_folder.rglob("*") if p.is_file()):
            content = bytes(1 << 24) if file.name == "encoder.onnx" else file.read_bytes()
            target.writestr(file.relative_to(bundle_folder).as_posix(), content)
    true, false = (1 << 24).to_bytes(4, "little"), (10240).to_bytes(4, "little")
    assert true in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(true, false))
    with pytest.raises(BundleError, match=r"not a readable \.zip bundle|was changed"):
        open_bundle(path)


@pytest.mark.parametrize("cut", [0, 10, 500, -30])
def test_a_truncated_or_foreign_file_is_no_bundle(bundle_archive: Path, cut: int) -> None:
    bundle_archive.write_bytes(bundle_archive.read_bytes()[:cut])
    with pytest.raises(BundleError, match=r"is not a readable \.zip bundle"):
        open_bundle(bundle_archive)


def test_an_encrypted_zip_is_refused(bundle_archive: Path) -> None:
    content = bytearray(bundle_archive.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        at = content.find(start)
        content[at + (6 if start[2] == 3 else 8)] |= 1
    bundle_archive.write_bytes(content)
    with pytest.raises(BundleError, match=r"is not a readable \.zip bundle"):
        open_bundle(bundle_archive)


def test_bytes_flipped_anywhere_in_a_zip_never_pass_unnoticed(bundle_archive: Path) -> None:
    """Every 7th byte inverted in turn: refused with a BundleError, or the content is still exactly the same."""
    good = bundle_archive.read_bytes()
    reference = _contents(open_bundle(bundle_archive))
    for at in range(0, len(good), 7):
        bundle_archive.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        assert _contents_if_accepted(bundle_archive) in (None, reference)


def _contents_if_accepted(path: Path) -> list[bytes] | None:
    try:
        return _contents(open_bundle(path))
    except BundleError:
        return None


def _contents(bundle: Bundle) -> list[bytes]:
    return [bundle.read(artefact) for artefact in bundle.manifest.artefacts]


def test_an_archive_replaced_since_it_was_opened(bundle_archive: Path) -> None:
    bundle = open_bundle(bundle_archive)
    with zipfile.ZipFile(bundle_archive, "w") as target:
        target.writestr("another", b"x")
    with pytest.raises(BundleError, match=r"no item named 'encoder\.onnx'"):
        bundle.read(bundle.find(kind="encoder"))
