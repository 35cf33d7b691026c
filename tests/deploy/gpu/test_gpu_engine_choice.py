"""Which engine runs: the bundle's, one built before, or one built now; and what is said where there is none."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from fake_engine_runtime import FakeEngineRuntime
from fake_tensorrt import fake
from fgvc_deploy.bundle import Bundle, Payload, write_bundle
from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu import create, probe, select
from fgvc_deploy.gpu.encoders import engine as engines
from fgvc_deploy.gpu.engines import builder
from fgvc_deploy.gpu.engines.api import Runtime, runtime_versions
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.engines.choice import EngineSearch
from fgvc_deploy.gpu.engines.files import Here
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver
from gpu_handles import ORIN, device
from toy_encoder import toy_onnx

KEY = EngineKey(
    runtime="tensorrt",
    runtime_version="10.9",
    chip="sm_87",
    precision="fp16",
    model_sha256="0" * 64,
    profile=Profile(smallest=(64, 64), usual=(256, 256), largest=(480, 854)),
    gpu="Orin",
    driver="13020",
    cuda="13.2",
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("FGVC_CACHE", str(tmp_path / "cache"))
    return EngineCache()


def _bundle(folder: Path, *onnx: tuple[str, str], engine: EngineKey | None = None) -> Bundle:
    """With ONNX files of (target, precision)."""
    encoder = EncoderSettings(arch="toy", stride=4, channels=32)
    content = toy_onnx(channels=32)
    payloads = [Payload("encoder", target, f"{target}.{kind}.onnx", content, kind) for target, kind in onnx]
    if engine is not None:
        payloads.append(Payload("engine", engine.runtime, "engines/x.engine", b"shipped", engine.precision))
        payloads.append(Payload("document", engine.runtime, "engines/x.json", engine.to_json()))
    return write_bundle(gpu_draft(encoder, PropagationSettings(), *payloads), folder / "bundle", overwrite=True)


def _search(bundle: Bundle, runtime: Runtime = "tensorrt", precision: str = "", **changes: Any) -> EngineSearch:
    versions: dict[Runtime, str] = {"tensorrt": "10.9"} if runtime == "tensorrt" else runtime_versions()
    return EngineSearch(bundle, runtime, Here(ORIN._replace(**changes), versions), precision)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    trt = fake("10.9")
    monkeypatch.setattr(builder, "load", lambda runtime: trt)
    record: dict[str, Any] = trt.record
    return record


def test_an_engine_is_built_once_for_a_machine(
    cache: EngineCache, tensorrt: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = _bundle(tmp_path, ("onnx", "fp32"))
    search = _search(bundle)
    assert search.ready() is None
    assert search.obstacle_to_building() is None
    with caplog.at_level(logging.WARNING, "fgvc_deploy"):
        made = search.built()
    assert caplog.messages == ["Building the fp32 tensorrt engine from onnx.fp32.onnx, once for this GPU."]
    assert (made.content, made.key.precision, made.key.gpu) == (b"engine", "fp32", ORIN.name)
    assert tensorrt["shapes"] == {"frames": ((1, 3, 32, 32), (1, 3, 480, 854), (1, 3, 1280, 1280))}
    assert cache.timing_file(made.key).name == "sm_87-tensorrt10.9.timing"
    assert cache.timing_file(made.key).read_bytes() == b"+measured"
    again = search.ready()
    assert again is not None
    assert (again.key, again.content, again.cached) == (made.key, b"engine", True)
    for change in ({"driver_version": 13030}, {"name": "Orin NX"}, {"compute_capability": (8, 9)}):
        assert _search(bundle, **change).ready() is None


def test_the_best_precision_and_never_int8_unasked(
    cache: EngineCache, tensorrt: dict[str, Any], tmp_path: Path
) -> None:
    bundle = _bundle(tmp_path, ("qdq", "int8"), ("onnx", "fp32"), ("onnx", "fp16"))
    assert _search(bundle).built().key.precision == "fp16"
    assert _search(bundle, precision="int8").built().key.precision == "int8"
    with pytest.raises(BackendError, match="no ONNX file to build one from"):
        _search(_bundle(tmp_path, ("qdq", "int8"))).built()
    # `onnx:int8` is for CPUs: it has zero points.
    with pytest.raises(BackendError, match="--target qdq"):
        _search(_bundle(tmp_path, ("onnx", "int8")), precision="int8").built()


def test_the_bundles_engine_comes_before_the_caches(
    cache: EngineCache, tensorrt: dict[str, Any], tmp_path: Path
) -> None:
    made = _search(_bundle(tmp_path, ("onnx", "fp16"))).built()
    bundle = _bundle(tmp_path, ("onnx", "fp16"), engine=made.key)
    found = _search(bundle).ready()
    assert found is not None
    assert (found.content, found.cached) == (b"shipped", False)
    stale = made.key.model_copy(update={"driver": "1"})
    found = _search(_bundle(tmp_path, ("onnx", "fp16"), engine=stale)).ready()
    assert found is not None
    assert (found.content, found.cached) == (b"engine", True)


def test_a_missing_package_is_the_first_thing_said(cache: EngineCache, tmp_path: Path) -> None:
    search = EngineSearch(_bundle(tmp_path, ("onnx", "fp32")), "tensorrt", Here(ORIN, {}))
    assert search.ready() is None
    with pytest.raises(
        BackendError, match=r"^tensorrt is not installed; run `pip install 'fgvc-deploy\[tensorrt\]'`"
    ):
        search.built()


def test_rtx_builds_for_real_and_says_which_chips_it_cannot(cache: EngineCache, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    bundle = _bundle(tmp_path, ("onnx", "fp32"))
    search = EngineSearch(bundle, "rtx", Here(device((8, 9), "RTX 4090"), runtime_versions()))
    made = search.built()
    assert len(made.content) > 4 * 32 * 16 * 9, "the weights are inside"
    found = search.ready()
    assert found is not None
    assert found.content == made.content
    # It is finished on the GPU that runs it, so any of this chip and any driver will do.
    newer = Here(device((8, 9), "L4")._replace(driver_version=13040), runtime_versions())
    assert EngineSearch(bundle, "rtx", newer).ready() is not None
    with pytest.raises(BackendError, match="cannot build for sm_87 without that GPU"):
        _search(bundle, "rtx").built()


@pytest.fixture
def both_runtimes(monkeypatch: pytest.MonkeyPatch, tensorrt: dict[str, Any]) -> None:
    """A machine with both packages, whose engines run on the emulated GPU."""
    versions = {"tensorrt": "10.9", "rtx": "1.7.1"}
    for module in (create, select):
        monkeypatch.setattr(module, "runtime_versions", lambda: versions)
    monkeypatch.setattr(engines, "load", lambda runtime: FakeEngineRuntime())
    monkeypatch.setattr(probe, "device", lambda: ORIN)


@pytest.mark.usefixtures("both_runtimes")
def test_a_ready_engine_comes_before_one_to_be_built(cache: EngineCache, tmp_path: Path) -> None:
    rtx = KEY.model_copy(
        update={"runtime": "rtx", "runtime_version": "1.7.1", "gpu": None, "driver": None, "cuda": None}
    )
    bundle = _bundle(tmp_path, ("onnx", "fp32"), engine=rtx)
    engine = create.create_engine(bundle, PropagationSettings(), driver=EmulatedDriver())
    assert engine.encoder.name == "rtx:fp16"
    assert not cache.folder.exists(), "nothing was built"
    asked = create.create_engine(bundle, PropagationSettings(), encoder="tensorrt", driver=EmulatedDriver())
    assert asked.encoder.name == "tensorrt:fp32"
    # Which is ready from now on.
    engine = create.create_engine(bundle, PropagationSettings(), driver=EmulatedDriver())
    assert engine.encoder.name == "tensorrt:fp32"


@pytest.mark.usefixtures("both_runtimes")
def test_without_a_ready_engine_one_is_built(cache: EngineCache, tmp_path: Path) -> None:
    engine = create.create_engine(_bundle(tmp_path, ("onnx", "fp32")), PropagationSettings(), driver=EmulatedDriver())
    assert engine.encoder.name == "tensorrt:fp32"


@pytest.mark.usefixtures("both_runtimes")
def test_doctor_knows_that_an_engine_can_be_built(
    cache: EngineCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    reasons = {state.name: state.reason for state in select.states(_bundle(tmp_path, ("onnx", "fp32")))}
    assert reasons["tensorrt"] is None
    reasons = {state.name: state.reason for state in select.states(_bundle(tmp_path))}
    assert reasons["tensorrt"] is not None
    assert "no ONNX file to build one from here" in reasons["tensorrt"]


def test_a_build_that_fails_is_a_sentence_and_leaves_nothing(
    cache: EngineCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = fake("10.9", engine=None)
    monkeypatch.setattr(builder, "load", lambda runtime: trt)
    with pytest.raises(BackendError, match="could not build the fp32 encoder for the GPU here"):
        _search(_bundle(tmp_path, ("onnx", "fp32"))).built()
    assert not cache.folder.exists()
