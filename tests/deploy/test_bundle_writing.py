"""Writing a bundle: whole or absent, and nothing that is not a bundle is ever replaced."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle import BundleDraft, Payload, check_destination, open_bundle, write_bundle, writing
from fgvc_deploy.errors import OutputError


@pytest.fixture
def other_draft(bundle_draft: BundleDraft) -> BundleDraft:
    payload = Payload("encoder", "onnx", "encoder.onnx", b"other", "fp32")
    return dataclasses.replace(bundle_draft, payloads=(payload,))


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["bundle", "bundle.zip", "new/folders/bundle"])
def test_nothing_but_the_bundle_is_left(bundle_draft: BundleDraft, tmp_path: Path, name: str) -> None:
    bundle = write_bundle(bundle_draft, tmp_path / name)
    assert bundle.path == tmp_path / name
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_two_writes_give_the_same_bytes(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_bundle(bundle_draft, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_folder_is_as_readable_as_any_other(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write_bundle(bundle_draft, tmp_path / "bundle")
    assert (tmp_path / "bundle").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_card_tells_what_the_manifest_says(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    write_bundle(bundle_draft, tmp_path / "bundle")
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    for text in (
        "# toy",
        "Weights: random numbers.",
        "Licence of the weights: not stated by the exporter.",
        "24 channels, one feature every 4 pixels",
        "radius 7.5",
        "| encoder.onnx | track_max | 0.004 px | <= 0.01 | passed |",
        "| encoder.onnx | track_p95 | not run: no GPU | |  |",
        "| kernels/sm_87/local_topk.cubin | kernel | cubin:sm_87 | fp16 | 500 |",
        "- torch 2.13.0",
    ):
        assert text in card


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_an_existing_bundle_is_replaced_only_when_asked(
    bundle_draft: BundleDraft, other_draft: BundleDraft, tmp_path: Path, name: str
) -> None:
    first = write_bundle(bundle_draft, tmp_path / name)
    with pytest.raises(OutputError, match=r"exists already; .* --overwrite"):
        write_bundle(other_draft, tmp_path / name)
    assert open_bundle(tmp_path / name).sha256 == first.sha256
    second = write_bundle(other_draft, tmp_path / name, overwrite=True)
    assert second.read(second.find(kind="encoder")) == b"other"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_folder_may_be_filled(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    write_bundle(bundle_draft, tmp_path / "bundle")


@pytest.mark.parametrize("name", ["home", "notes.txt", "photos.zip", "folder.zip"])
def test_what_is_not_a_bundle_is_never_replaced(bundle_draft: BundleDraft, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    if name in ("home", "folder.zip"):
        target.mkdir()
        (target / "precious").write_text("x")
    else:
        target.write_text("precious")
    before = listing(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is not a bundle of this form"):
            write_bundle(bundle_draft, target, overwrite=overwrite)
    assert listing(tmp_path) == before


def test_a_broken_link_is_not_replaced(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    (tmp_path / "bundle").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="is not a bundle"):
        check_destination(tmp_path / "bundle", overwrite=True)


def test_through_a_link_the_bundle_behind_it_is_replaced(
    bundle_draft: BundleDraft, other_draft: BundleDraft, tmp_path: Path
) -> None:
    write_bundle(bundle_draft, tmp_path / "v1")
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    write_bundle(other_draft, tmp_path / "current", overwrite=True)
    assert (tmp_path / "current").is_symlink()
    assert open_bundle(tmp_path / "v1").read(open_bundle(tmp_path / "v1").find(kind="encoder")) == b"other"


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("step", ["_write_directory", "_move_into_place", "open_bundle"])
def test_a_failure_at_any_step_leaves_the_old_bundle_and_nothing_else(
    bundle_draft: BundleDraft,
    other_draft: BundleDraft,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: BaseException,
) -> None:
    first = write_bundle(bundle_draft, tmp_path / "bundle")
    before = listing(tmp_path)
    original = getattr(writing, step)

    def failing(*args: Any) -> None:
        if step == "_write_directory":
            original(*args)
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(writing, step, failing)
        expected = OutputError if isinstance(fault, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            write_bundle(other_draft, tmp_path / "bundle", overwrite=True)
    assert listing(tmp_path) == before
    assert open_bundle(tmp_path / "bundle").sha256 == first.sha256


def test_when_the_last_rename_fails_the_old_bundle_is_put_back(
    bundle_draft: BundleDraft, other_draft: BundleDraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_bundle(bundle_draft, tmp_path / "bundle")
    rename, calls = Path.rename, []

    def second_call_fails(self: Path, target: Path) -> Path:
        calls.append(self.name)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", second_call_fails)
        with pytest.raises(OutputError, match="Input/output error"):
            write_bundle(other_draft, tmp_path / "bundle", overwrite=True)
    assert len(calls) == 3
    assert open_bundle(tmp_path / "bundle").sha256 == first.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_cannot_be_made(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        write_bundle(bundle_draft, tmp_path / "file" / "bundle")
