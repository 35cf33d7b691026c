"""A whole export: what the bundle says, and that a failure at any point leaves nothing behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from fgvc_deploy.bundle import ParityFigure, open_bundle
from fgvc_deploy.encoders import select
from fgvc_deploy.encoders.base import channels_last
from fgvc_deploy.errors import CheckpointError, InputError, OutputError, ParityError
from fgvc_export import export_bundle, gates, pipeline, targets
from fgvc_export.clip import Clip, load_clip
from fgvc_export.synthetic_clip import synthetic_clip
from fgvc_training.encoder.architectures import ARCHITECTURES
from fgvc_training.encoder.checkpoint import save_encoder
from fgvc_training.encoder.untrained import untrained_encoder

ARCHS = list(ARCHITECTURES)
ExportOf = Callable[[str], Any]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The untrained edge encoder as a checkpoint of ours."""
    save_encoder(untrained_encoder("edge_lite0"), tmp_path / "mine.safetensors", "edge_lite0")
    return tmp_path / "mine.safetensors"


@pytest.fixture
def quick(exported: ExportOf, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Spare most of the time: ONNX of the same weights, built once, and a shorter clip; the gate is the real one."""
    bundle = exported("edge_lite0").report.bundle
    content = bytes(bundle.read(bundle.find(kind="encoder")))
    build = targets.build
    monkeypatch.setattr(
        pipeline, "build", lambda row, source: content if row.kind == "encoder" else build(row, source)
    )
    short = Clip("synthetic clip", synthetic_clip()[:5], "native")
    monkeypatch.setattr(pipeline, "load_clip", lambda source: load_clip(source) if source else short)
    return content


@pytest.mark.parametrize("arch", ARCHS)
def test_what_the_manifest_says(exported: ExportOf, arch: str) -> None:
    manifest = open_bundle(exported(arch).report.bundle.path).manifest
    row = ARCHITECTURES[arch]
    assert (manifest.encoder.arch, manifest.encoder.stride, manifest.encoder.channels) == (
        arch,
        row.stride,
        row.channels,
    )
    assert manifest.preprocess.color_space == row.preprocess.color_space
    assert (manifest.preprocess.mean, manifest.preprocess.std) == (row.preprocess.mean, row.preprocess.std)
    assert manifest.propagation.radius == row.propagation.radius
    assert manifest.default_size == row.default_size
    assert manifest.provenance.weights == "untrained weights"
    assert manifest.provenance.checkpoint is None
    assert {"torch", "onnx", "onnxruntime", "fgvc-deploy"} <= manifest.provenance.versions.keys()
    assert [(artefact.kind, artefact.target, artefact.path) for artefact in manifest.artefacts] == [
        ("encoder", "onnx", "encoder.onnx"),
        ("propagation", "onnx", "propagation.onnx"),
        ("document", "markdown", "MODEL_CARD.md"),
    ]


@pytest.mark.parametrize("arch", ARCHS)
def test_every_figure_is_measured_and_within_its_budget(exported: ExportOf, arch: str) -> None:
    report = exported(arch).report
    encoder, propagation = (report.bundle.find(kind=kind).parity for kind in ("encoder", "propagation"))
    assert (*encoder, *propagation) == report.figures
    tracks = ["track_p95", "track_max"]
    assert [figure.figure for figure in encoder] == ["feature_cosine_min", "feature_error_max", *tracks]
    assert [figure.figure for figure in propagation] == ["match_score_max", "carried_label_max", *tracks]
    for figure in report.figures:
        assert isinstance(figure, ParityFigure)
        assert figure.passed
        assert "synthetic clip" in figure.detail
        assert "raised" not in figure.detail


@pytest.mark.parametrize("arch", ARCHS)
@torch.inference_mode()
def test_the_runtime_gives_the_features_of_torch(exported: ExportOf, arch: str) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 61, 90)).astype(np.float32)
    features = select.create(exported(arch).report.bundle).encode(x)
    expected = channels_last(untrained_encoder(arch)(torch.from_numpy(x)).numpy())
    assert features.shape == expected.shape
    assert np.abs(features - expected).max() <= 5e-5 * np.abs(expected).max()


def test_progress_rises_to_one(exported: ExportOf) -> None:
    shares = [share for _, share in exported("edge_lite0").progress]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert "building onnx" in [message for message, _ in exported("edge_lite0").progress]


def test_a_checkpoint_and_its_terms_are_recorded(quick: bytes, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle.zip"
    report = export_bundle(checkpoint, out, training="two hours on planes", licence="CC0")
    provenance = open_bundle(out).manifest.provenance
    assert provenance.checkpoint == "mine.safetensors"
    assert provenance.checkpoint_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (provenance.training, provenance.licence) == ("two hours on planes", "CC0")
    assert "imported from mine.safetensors" in provenance.weights
    lines = report.lines()
    assert lines[0] == "mine.safetensors: fgvc-deploy edge_lite0, 198 tensors"
    assert lines[1].startswith("encoder.onnx: feature_cosine_min ")
    assert lines[5].startswith("propagation.onnx: match_score_max ")
    assert lines[-1].startswith(f"{out}: 3 files, 2.8 MB")
    assert len(lines) == 10


def broken(content: bytes) -> bytes:
    """The same graph with one weight of the stem changed by half."""
    model = onnx.load_from_string(content)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "stem.conv.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight[0, 0, 0, 0] *= 1.5
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return bytes(model.SerializeToString())


def test_an_export_that_misses_its_budget_leaves_nothing(
    quick: bytes, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(pipeline, "build", lambda target, source: broken(quick))
    with pytest.raises(ParityError, match=r"feature_error_max is 0\.\d+ .* where at most 5e-05 is allowed"):
        export_bundle(checkpoint, tmp_path / "bundle")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_export_that_misses_its_budget_keeps_the_older_bundle(
    quick: bytes, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export_bundle(checkpoint, tmp_path / "bundle").bundle
    monkeypatch.setattr(pipeline, "build", lambda target, source: broken(quick))
    with pytest.raises(ParityError):
        export_bundle(checkpoint, tmp_path / "bundle", overwrite=True)
    assert open_bundle(tmp_path / "bundle").sha256 == first.sha256


def test_tracks_alone_can_stop_an_export(
    quick: bytes, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "build", lambda target, source: broken(quick))
    monkeypatch.setattr(gates, "feature_figures", lambda *_: [])
    with pytest.raises(ParityError, match=r"track_p95 is .* px where at most 0\.01 is allowed"):
        export_bundle(checkpoint, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_bad_input_is_told_before_the_work(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "build", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OutputError, match="is not a bundle"):
        export_bundle(checkpoint, tmp_path / "taken")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        export_bundle(tmp_path / "nothing.pth", tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"holds edge_lite0 .*, not resnet18_d1"):
        export_bundle(checkpoint, tmp_path / "out", arch="resnet18_d1")
    with pytest.raises(InputError, match="no encoder architecture 'vgg'"):
        export_bundle(checkpoint, tmp_path / "out", arch="vgg")
    with pytest.raises(InputError, match="Without a checkpoint"):
        export_bundle(None, tmp_path / "out")
    with pytest.raises(InputError, match=r"nothing\.mp4"):
        export_bundle(checkpoint, tmp_path / "out", parity_clip=tmp_path / "nothing.mp4")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="another architecture"):
        export_bundle(tmp_path / "other.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_figure_on_a_real_clip(quick: bytes, checkpoint: Path, data_dir: Path, tmp_path: Path) -> None:
    report = export_bundle(checkpoint, tmp_path / "bundle", parity_clip=data_dir / "videos" / "cotracker_cat.mp4")
    assert all(figure.passed for figure in report.figures)
    assert "cotracker_cat.mp4, 16 frames of 368x480, 64 points, moved" in report.figures[-1].detail
