"""Fixtures of the runtime's tests: a sample bundle whose encoder is not a model, only bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fgvc_deploy.bundle import Bundle, BundleDraft, ParityFigure, ParityNotRun, Payload, Provenance, write_bundle
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from portable_graph import bundle_with_graph


@pytest.fixture(scope="session")
def bundle_draft() -> BundleDraft:
    parity = (
        ParityFigure(figure="track_max", value=0.004, budget=0.01, unit="px", passed=True),
        ParityNotRun(figure="track_p95", not_run="no GPU"),
    )
    return BundleDraft(
        encoder=EncoderSettings(arch="toy", stride=4, channels=24),
        preprocess=PreprocessSettings(color_space="rgb", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)),
        propagation=PropagationSettings(radius=7.5),
        default_size="short:256",
        provenance=Provenance(weights="random numbers", versions={"torch": "2.13.0"}),
        payloads=(
            Payload("encoder", "onnx", "encoder.onnx", bytes(range(256)) * 40, "fp32", parity),
            Payload("kernel", "cubin:sm_87", "kernels/sm_87/local_topk.cubin", b"cubin" * 100, "fp16"),
        ),
    )


@pytest.fixture
def bundle_folder(bundle_draft: BundleDraft, tmp_path: Path) -> Path:
    write_bundle(bundle_draft, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def bundle_archive(bundle_draft: BundleDraft, tmp_path: Path) -> Path:
    write_bundle(bundle_draft, tmp_path / "bundle.zip")
    return tmp_path / "bundle.zip"


@pytest.fixture(scope="session")
def graph_bundle(bundle_draft: BundleDraft, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The sample bundle with the portable propagation graph in it."""
    return bundle_with_graph(bundle_draft, tmp_path_factory.mktemp("graph") / "bundle")
