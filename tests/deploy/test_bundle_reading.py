"""Opening a bundle directory: what is handed out; nothing missing, changed, extra or outside gets through."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle import BundleDraft, Payload, open_bundle, write_bundle
from fgvc_deploy.errors import BundleError


@pytest.mark.parametrize("form", ["bundle_folder", "bundle_archive"])
def test_what_was_written_comes_back(form: str, bundle_draft: BundleDraft, request: pytest.FixtureRequest) -> None:
    bundle = open_bundle(request.getfixturevalue(form))
    assert bundle.manifest.encoder == bundle_draft.encoder
    assert bundle.manifest.preprocess == bundle_draft.preprocess
    assert bundle.manifest.propagation == bundle_draft.propagation
    assert bundle.manifest.provenance == bundle_draft.provenance
    encoder = bundle.find(kind="encoder", precision="fp32")
    assert bundle.read(encoder) == bundle_draft.payloads[0].content
    assert encoder.parity == bundle_draft.payloads[0].parity
    assert bundle.read(bundle.find(kind="kernel", target="cubin:sm_87")) == bundle_draft.payloads[1].content


def test_a_string_path_and_a_link_to_the_bundle_open(bundle_folder: Path) -> None:
    link = bundle_folder.with_name("link")
    link.symlink_to(bundle_folder)
    assert open_bundle(str(link)).sha256 == open_bundle(bundle_folder).sha256


def test_directory_and_zip_are_the_same_bundle(bundle_folder: Path, bundle_archive: Path) -> None:
    assert open_bundle(bundle_folder).sha256 == open_bundle(bundle_archive).sha256


def test_find_names_what_there_is(bundle_folder: Path) -> None:
    with pytest.raises(BundleError, match=r"has no fp16 onnx encoder \(of this kind it has: fp32 onnx\)"):
        open_bundle(bundle_folder).find(kind="encoder", target="onnx", precision="fp16")
    with pytest.raises(BundleError, match=r"has no engine \(of this kind it has: none\)"):
        open_bundle(bundle_folder).find(kind="engine")


def test_no_file_handle_stays_open(bundle_archive: Path, bundle_folder: Path) -> None:
    bundles = [open_bundle(bundle_archive), open_bundle(bundle_folder)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = [open_bundle(path) for path in (bundle_archive, bundle_folder) for _ in range(20)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert len(kept) + len(bundles) == 42


def test_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        open_bundle(tmp_path / "nothing")


def test_missing_file(bundle_folder: Path) -> None:
    (bundle_folder / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks 'encoder\.onnx'"):
        open_bundle(bundle_folder)


def test_missing_manifest(bundle_folder: Path) -> None:
    (bundle_folder / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        open_bundle(bundle_folder)


def test_extra_files_are_named_and_counted(bundle_folder: Path) -> None:
    (bundle_folder / "kernels" / "sm_87" / "other.cubin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"holds 'kernels/sm_87/other\.cubin' that its manifest does not list"):
        open_bundle(bundle_folder)
    for index in range(7):
        (bundle_folder / f"a{index}").write_bytes(b"x")
    with pytest.raises(BundleError, match="and 3 more"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda good: good + b"x", "bytes long"),
        (lambda good: good[:-1], "bytes long"),
        (lambda good: b"\1" + good[1:], "sha256"),
    ],
    ids=["longer", "shorter", "one-byte"],
)
def test_changed_file(bundle_folder: Path, change: Callable[[bytes], bytes], why: str) -> None:
    file = bundle_folder / "encoder.onnx"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BundleError, match=rf"'encoder\.onnx' was changed .*{why}"):
        open_bundle(bundle_folder)


def test_a_file_changed_after_opening_is_not_handed_out(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    good = (bundle_folder / "encoder.onnx").read_bytes()
    (bundle_folder / "encoder.onnx").write_bytes(b"\1" + good[1:])
    with pytest.raises(BundleError, match="was changed"):
        bundle.read(bundle.find(kind="encoder"))
    (bundle_folder / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read(bundle.find(kind="encoder"))


@pytest.mark.parametrize("where", ["encoder.onnx", "kernels"])
def test_links_inside_are_refused(bundle_folder: Path, where: str) -> None:
    outside = bundle_folder.with_name("outside")
    (bundle_folder / where).rename(outside)
    (bundle_folder / where).symlink_to(outside)
    with pytest.raises(BundleError, match=rf"'{where}' is a link, which could leave the bundle"):
        open_bundle(bundle_folder)


def test_a_link_put_there_after_opening_is_not_followed(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    (bundle_folder / "encoder.onnx").rename(bundle_folder.with_name("outside"))
    (bundle_folder / "encoder.onnx").symlink_to(bundle_folder.with_name("outside"))
    with pytest.raises(BundleError, match=r"'encoder\.onnx' cannot be read"):
        bundle.read(bundle.find(kind="encoder"))


def test_a_pipe_inside_is_refused_and_not_opened(bundle_folder: Path) -> None:
    os.mkfifo(bundle_folder / "pipe")
    with pytest.raises(BundleError, match="'pipe' is not a regular file"):
        open_bundle(bundle_folder)


def test_a_very_deep_folder_is_refused(bundle_folder: Path) -> None:
    deep = bundle_folder
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(BundleError, match="nested deeper"):
        open_bundle(bundle_folder)


def test_a_pickle_in_a_bundle_is_only_bytes(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("the bundle was unpickled",))

    evil = pickle.dumps(Bomb())
    payload = Payload("encoder", "onnx", "encoder.onnx", evil, "fp32")
    bundle = write_bundle(dataclasses.replace(bundle_draft, payloads=(payload,)), tmp_path / "b")
    assert bundle.read(bundle.find(kind="encoder")) == evil
