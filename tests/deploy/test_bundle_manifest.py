"""manifest.json: each way it can be wrong is refused in one sentence that names the field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle import BundleDraft, Manifest, ParityFigure, open_bundle
from fgvc_deploy.errors import BundleError


def edit(bundle_folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply `change` to the JSON of the manifest."""
    raw = json.loads((bundle_folder / "manifest.json").read_text())
    change(raw)
    (bundle_folder / "manifest.json").write_text(json.dumps(raw))


def test_a_newer_schema_says_how_to_update(bundle_folder: Path) -> None:
    edit(bundle_folder, lambda raw: raw.update(schema_version=2, brand_new_field=1))
    with pytest.raises(BundleError, match="schema_version 2, this fgvc-deploy reads up to 1; update with `pip"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("version", [None, "1", True, 0, 1.0], ids=repr)
def test_a_schema_version_that_is_none(bundle_folder: Path, version: object) -> None:
    edit(bundle_folder, lambda raw: raw.update(schema_version=version))
    with pytest.raises(BundleError, match="has no schema_version"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(surprise=1), "surprise: Extra inputs"),
        (lambda raw: raw["encoder"].update(stride=0), r"encoder\.stride"),
        (lambda raw: raw["encoder"].update(stride="4"), r"encoder\.stride"),
        (lambda raw: raw["preprocess"].update(std=[0.2, 0.0, 0.2]), r"preprocess\.std\.1"),
        (lambda raw: raw["artefacts"][0].update(sha256="00"), r"artefacts\.0\.sha256"),
        (lambda raw: raw["artefacts"][0].update(bytes=-1), r"artefacts\.0\.bytes"),
        (lambda raw: raw["artefacts"][0].update(bytes=2**40), r"artefacts\.0\.bytes"),
        (lambda raw: raw["artefacts"][0].update(kind="pickle"), r"artefacts\.0\.kind"),
        (lambda raw: raw["artefacts"].append(raw["artefacts"][0]), "listed twice"),
        (lambda raw: raw["artefacts"][0].update(path="Manifest.json"), "is the manifest itself"),
        (lambda raw: raw.update(default_size="huge"), "default_size"),
        (lambda raw: raw["artefacts"][0]["parity"][0].update(value=1.0), "contradicts"),
        (lambda raw: raw.pop("provenance"), "provenance: Field required"),
    ],
)
def test_a_manifest_that_breaks_the_schema(
    bundle_folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit(bundle_folder, change)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(bundle_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[" * 100_000], ids=lambda t: repr(t[:8]))
def test_a_manifest_that_is_not_one(bundle_folder: Path, text: bytes) -> None:
    (bundle_folder / "manifest.json").write_bytes(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(bundle_folder)


def test_a_huge_manifest_is_not_parsed(bundle_folder: Path) -> None:
    (bundle_folder / "manifest.json").write_bytes(b" " * (1 << 21))
    with pytest.raises(BundleError, match="is over 1048576 bytes"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.onnx",
        "/etc/passwd",
        "a/../../b",
        "//x",
        "..",
        "",
        ".",
        "a\\b",
        "C:x",
        "./a",
        "a//b",
        "a\nb",
        "a\0b",
    ],
)
def test_a_manifest_path_that_leaves_the_bundle(bundle_folder: Path, path: str) -> None:
    outside = bundle_folder.with_name("outside.onnx")
    outside.write_bytes((bundle_folder / "encoder.onnx").read_bytes())
    edit(bundle_folder, lambda raw: raw["artefacts"][0].update(path=path))
    with pytest.raises(BundleError, match=r"leaves the bundle|not a plain relative path"):
        open_bundle(bundle_folder)


def test_the_parity_verdict_cannot_disagree_with_its_figure() -> None:
    ParityFigure(figure="cosine", value=0.9999, budget=0.999, unit="", limit="at_least", passed=True)
    ParityFigure(figure="px", value=float("nan"), budget=1.0, unit="px", passed=False)
    for value, limit, passed in [(2.0, "at_most", True), (0.5, "at_least", True), (float("nan"), "at_most", True)]:
        with pytest.raises(ValueError, match="contradicts"):
            ParityFigure.model_validate(
                {"figure": "f", "value": value, "budget": 1.0, "unit": "", "limit": limit, "passed": passed}
            )


def test_the_manifest_is_the_same_text_every_time(bundle_draft: BundleDraft) -> None:
    first, second = bundle_draft.manifest(), bundle_draft.manifest()
    assert first.to_json() == second.to_json()
    assert Manifest.model_validate_json(first.to_json()) == first
    assert first.artefacts[0].sha256 == hashlib.sha256(bundle_draft.payloads[0].content).hexdigest()
