"""Engines: what is asked of TensorRT 8, 10 and 11, told by features; and TensorRT-RTX building for real."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from fake_tensorrt import fake
from fgvc_deploy.bundle.engine_key import Profile
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.engines import builder
from fgvc_deploy.gpu.engines.api import load
from fgvc_deploy.gpu.engines.builder import Plan, build_engine
from toy_encoder import toy_onnx

PROFILE = Profile(smallest=(32, 32), usual=(256, 456), largest=(1080, 1920))
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is an optional builder"
)


def build(monkeypatch: pytest.MonkeyPatch, version: str, plan: Plan, **options: Any) -> tuple[bytes, dict[str, Any]]:
    trt = fake(version, **options)
    monkeypatch.setattr(builder, "load", lambda runtime: trt)
    return build_engine(b"model", plan), trt.record


@pytest.mark.parametrize(
    ("version", "precision", "network", "flags"),
    [
        ("8.6", "fp32", {"EXPLICIT_BATCH"}, {"OBEY_PRECISION_CONSTRAINTS"}),
        ("8.6", "fp16", {"EXPLICIT_BATCH"}, {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
        ("8.6", "int8", {"EXPLICIT_BATCH"}, {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}),
        ("10.9", "fp16", {"STRONGLY_TYPED"}, set()),
        ("10.9", "int8", {"STRONGLY_TYPED"}, set()),
        ("11.4", "fp32", {"STRONGLY_TYPED"}, set()),
        ("11.4", "int8", {"STRONGLY_TYPED"}, set()),
    ],
)
def test_precision_is_the_files_wherever_networks_can_be_strongly_typed(
    monkeypatch: pytest.MonkeyPatch, version: str, precision: str, network: set[str], flags: set[str]
) -> None:
    """TensorRT 10 refuses its own precision flags on a strongly typed network; TF32 never stands in for fp32."""
    engine, record = build(monkeypatch, version, Plan("tensorrt", precision, PROFILE))
    assert engine == b"engine"
    assert record["network"] == network
    assert record["flags"] == flags
    assert record["parsed"] == b"model"
    assert record["shapes"] == {"frames": ((1, 3, 32, 32), (1, 3, 256, 456), (1, 3, 1080, 1920))}


@pytest.mark.parametrize("stale", [False, True])
def test_the_timing_cache_is_kept_and_replaced_when_it_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stale: bool
) -> None:
    path = tmp_path / "cache" / "timing.bin"
    plan = Plan("tensorrt", "fp16", PROFILE, timing_cache=path)
    build(monkeypatch, "10.9", plan)
    assert path.read_bytes() == b"+measured"
    build(monkeypatch, "11.4", plan, stale_cache=stale)
    assert path.read_bytes() == (b"+measured" if stale else b"+measured+measured")
    assert [item.name for item in path.parent.iterdir()] == ["timing.bin"]


def test_what_tensorrt_cannot_build_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("tensorrt", "int8", PROFILE)
    with pytest.raises(BackendError, match=r"^tensorrt could not build the int8 .* \(Unsupported operator\);"):
        build(monkeypatch, "10.9", plan, fault="Unsupported operator.\nat line 3")
    with pytest.raises(BackendError, match=r"\(no kernel for node_conv2d\); build with another version"):
        build(monkeypatch, "11.4", plan, engine=None)
    with pytest.raises(BackendError, match=r"tensorrt 10\.9 cannot build for sm_86 without that GPU"):
        build(monkeypatch, "10.9", Plan("tensorrt", "fp16", PROFILE, chip="sm_86"))


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"^tensorrt cannot be loaded|^tensorrt is not installed") as told:
        load("tensorrt")
    assert "pip install 'fgvc-deploy[tensorrt]'" in str(told.value)


@needs_rtx
@pytest.mark.parametrize("chip", ["sm_86", "sm_89", "sm_120"])
def test_rtx_builds_for_a_chip_that_is_not_here(chip: str) -> None:
    """The weights are inside; sizes differ as their weights do."""
    plan = Plan("rtx", "fp32", PROFILE, chip=chip)
    engine, smaller = (build_engine(toy_onnx(channels=channels), plan) for channels in (512, 8))
    assert len(engine) - len(smaller) > 0.9 * 4 * (512 - 8) * 16 * 9


@needs_rtx
def test_rtx_says_in_a_sentence_what_it_cannot_do(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BackendError, match=r"tensorrt_rtx 1\.\S+ cannot build for sm_87 without that GPU"):
        build_engine(toy_onnx(), Plan("rtx", "fp16", PROFILE, chip="sm_87"))
    with pytest.raises(BackendError, match="rtx could not build the fp16 encoder for sm_86"):
        build_engine(b"no model", Plan("rtx", "fp16", PROFILE, chip="sm_86"))
    assert capfd.readouterr() == ("", "")
