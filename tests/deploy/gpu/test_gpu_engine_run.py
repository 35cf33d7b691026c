"""Running an engine: our stream and memory, what its runtime compiles, and engines that it refuses.  No GPU."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_engine_runtime import FakeEngineRuntime, FakeRtx
from fgvc_deploy.bundle import Bundle, write_bundle
from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.gpu.encoders import engine as engines
from fgvc_deploy.gpu.encoders.engine import EngineEncoder
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.engines.choice import ReadyEngine
from fgvc_deploy.gpu.engines.files import Here
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver
from gpu_handles import ORIN

KEY = EngineKey(
    runtime="rtx",
    runtime_version="1.7.1",
    chip="sm_87",
    precision="fp16",
    model_sha256="0" * 64,
    profile=Profile(smallest=(64, 64), usual=(256, 256), largest=(480, 854)),
)
HERE = Here(ORIN, {"rtx": "1.7.1"})


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "cache")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    encoder = EncoderSettings(arch="toy", stride=4, channels=32)
    return write_bundle(gpu_draft(encoder, PropagationSettings()), tmp_path / "bundle")


def _engine(bundle: Bundle) -> ReadyEngine:
    return ReadyEngine(KEY, b"engine", f"{bundle.path}: 'x.engine'", cached=False)


def test_an_engine_is_run_on_our_stream_and_memory(
    bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, driver = FakeEngineRuntime(), EmulatedDriver()
    monkeypatch.setattr(engines, "load", lambda name: runtime)
    with GpuSession(driver, bundle) as session:
        encoder = EngineEncoder(session, _engine(bundle), HERE, cache)
        image = encoder.prepare(np.zeros((1, 3, 64, 96), np.float32))
        with session.working():
            planes = encoder.enqueue(4096, image.shape)
            again = encoder.enqueue(4096, image.shape)
        assert planes == again
        assert (planes.kind, planes.channels, planes.hw) == ("fp16", 32, (16, 24))
        assert runtime.calls[:3] == [("frames", 4096), ("features", planes.address), ("stream", session.stream)]
        with pytest.raises(InputError, match="64x64 to 854x480, not 64x32"):
            encoder.prepare(np.zeros((1, 3, 32, 64), np.float32))


def test_an_engine_that_does_not_load_says_so(
    bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT-RTX answers None without a driver, and prints the reason to the terminal."""
    monkeypatch.setattr(engines, "load", lambda name: FakeEngineRuntime(loads=False))
    with GpuSession(EmulatedDriver(), bundle) as session, pytest.raises(BackendError, match="cannot load"):
        EngineEncoder(session, _engine(bundle), HERE, cache)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"of this GPU+kernels"),
        (b"of this GPU+kernels", b"of this GPU+kernels+kernels"),
        (b"of another GPU", b"of this GPU+kernels"),
    ],
)
def test_what_was_compiled_is_kept_for_the_next_start(
    bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch, before: bytes | None, after: bytes
) -> None:
    monkeypatch.setattr(engines, "load", lambda name: FakeRtx())
    key = HERE.key_like(KEY)
    if before is not None:
        cache.store("jit", key, before)
    with GpuSession(EmulatedDriver(), bundle) as session:
        EngineEncoder(session, _engine(bundle), HERE, cache)
        assert cache.load("jit", key) == before
    assert cache.load("jit", key) == after
    assert (key.gpu, key.driver) == (ORIN.name, str(ORIN.driver_version))


def test_nothing_is_kept_of_a_gpu_that_failed(
    bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "load", lambda name: FakeRtx())
    driver = EmulatedDriver()
    with GpuSession(driver, bundle) as session:
        EngineEncoder(session, _engine(bundle), HERE, cache)
        driver.lost = 700
    assert cache.load("jit", HERE.key_like(KEY)) is None


def test_a_session_with_an_encoder_is_collected(
    bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done at the end must not keep it alive."""
    monkeypatch.setattr(engines, "load", lambda name: FakeRtx())
    driver = EmulatedDriver()
    encoder = EngineEncoder(GpuSession(driver, bundle), _engine(bundle), HERE, cache)
    assert not driver.released
    del encoder
    gc.collect()
    assert driver.released
    assert cache.load("jit", HERE.key_like(KEY)) is not None


@pytest.mark.parametrize("cached", [True, False])
def test_a_refused_engine_of_the_cache_is_not_tried_again(
    bundle: Bundle, cache: EngineCache, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    monkeypatch.setattr(engines, "load", lambda name: FakeEngineRuntime(loads=False))
    cache.store("engine", KEY, b"engine")
    said = "has been removed, so start again" if cached else "export the checkpoint again"
    with GpuSession(EmulatedDriver(), bundle) as session, pytest.raises(BackendError, match=said):
        EngineEncoder(session, _engine(bundle)._replace(cached=cached), HERE, cache)
    assert (cache.load("engine", KEY) is None) == cached


def test_the_names_used_exist_in_tensorrt_rtx() -> None:
    trt: Any = pytest.importorskip("tensorrt_rtx")
    for owner, names in {
        trt: ("Logger", "Runtime", "TensorIOMode", "DataType"),
        trt.Runtime: ("deserialize_cuda_engine",),
        trt.ICudaEngine: (
            "create_execution_context",
            "create_runtime_config",
            "num_io_tensors",
            "get_tensor_name",
            "get_tensor_mode",
            "get_tensor_dtype",
        ),
        trt.IRuntimeConfig: ("create_runtime_cache", "set_runtime_cache"),
        trt.IRuntimeCache: ("deserialize", "serialize"),
        trt.IExecutionContext: ("set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3"),
    }.items():
        assert [name for name in names if not hasattr(owner, name)] == []
    assert {trt.DataType.HALF.name, trt.DataType.FLOAT.name} == set(engines._KINDS)
    assert hasattr(trt.TensorIOMode, "INPUT")
