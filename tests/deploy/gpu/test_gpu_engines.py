"""Engines: which one fits, what mismatches, the cache, and refusals without a GPU.  Running them needs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_deploy.bundle import Bundle, Payload, write_bundle
from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_deploy.gpu.encoders import engine as engines
from fgvc_deploy.gpu.encoders.engine import EngineEncoder, fitting_engine
from fgvc_deploy.gpu.encoders.engine_files import Here, cached_engine, engine_files, store_engine
from fgvc_deploy.gpu.select import bundle_notes, states
from fgvc_deploy.gpu.session import GpuSession
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver
from gpu_handles import ORIN

ENCODER = EncoderSettings(arch="toy", stride=4, channels=32)
KEY = EngineKey(
    runtime="rtx",
    runtime_version="1.7.1",
    chip="sm_87",
    precision="fp16",
    model_sha256="0" * 64,
    profile=Profile(smallest=(64, 64), usual=(256, 256), largest=(480, 854)),
)
HERE = Here(ORIN, {"rtx": "1.7.1", "tensorrt": "10.3.0"})


def _bundle(folder: Path, *keys: EngineKey) -> Bundle:
    payloads = []
    for key in keys:
        path = f"engines/{key.stem}"
        payloads += [
            Payload("engine", key.runtime, f"{path}.engine", key.digest.encode(), key.precision),
            Payload("document", key.runtime, f"{path}.json", key.to_json()),
        ]
    return write_bundle(gpu_draft(ENCODER, PropagationSettings(), *payloads), folder / "bundle")


def test_the_engine_of_this_chip_is_taken(tmp_path: Path) -> None:
    other = KEY.model_copy(update={"chip": "sm_89"})
    bundle = _bundle(tmp_path, other, KEY)
    assert fitting_engine(bundle, "rtx", HERE).key == KEY
    assert len(engine_files(bundle)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chip": "sm_89"}, "chip is sm_87, the engine was built for sm_89"),
        ({"runtime_version": "1.6"}, "runtime version is 1.7.1, the engine was built for 1.6"),
        ({"gpu": "RTX 4090"}, "gpu is Emulated Orin, the engine was built for RTX 4090"),
        ({"driver": "1"}, "driver is 13020, the engine was built for 1"),
        ({"cuda": "12.6"}, "cuda is 13.2, the engine was built for 12.6"),
    ],
)
def test_what_mismatches_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    bundle = _bundle(tmp_path, KEY.model_copy(update=change))
    with pytest.raises(BackendError, match=said) as caught:
        fitting_engine(bundle, "rtx", HERE)
    assert "--target rtx:sm_87" in str(caught.value)


def test_int8_only_when_asked_for(tmp_path: Path) -> None:
    keys = [KEY.model_copy(update={"precision": precision}) for precision in ("int8", "fp32", "fp16")]
    bundle = _bundle(tmp_path, *keys)
    assert fitting_engine(bundle, "rtx", HERE).key.precision == "fp16"
    assert fitting_engine(bundle, "rtx", HERE, "int8").key.precision == "int8"
    with pytest.raises(BackendError, match="no int8 tensorrt engine"):
        fitting_engine(bundle, "tensorrt", HERE, "int8")


def test_an_engine_without_its_key_is_refused(tmp_path: Path) -> None:
    draft = gpu_draft(ENCODER, PropagationSettings(), Payload("engine", "rtx", "engines/x.engine", b"x", "fp16"))
    with pytest.raises(BundleError, match="what it was built for"):
        engine_files(write_bundle(draft, tmp_path / "bundle"))


def test_doctor_lists_engines(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, KEY)
    notes = bundle_notes(bundle)
    assert notes[1].endswith("fp16 encoder for sm_87 with tensorrt_rtx 1.7.1, frames from 64x64 to 854x480")
    by_name = {state.name: state.reason for state in states(bundle)}
    assert by_name["rtx"] is not None


def test_the_cache_is_by_key(tmp_path: Path) -> None:
    assert cached_engine(KEY, tmp_path) is None
    store_engine(KEY, b"engine", tmp_path)
    assert cached_engine(KEY, tmp_path) == b"engine"
    for change in (
        {"driver": "1"},
        {"gpu": "x"},
        {"cuda": "12.6"},
        {"model_sha256": "1" * 64},
        {"precision": "int8"},
    ):
        assert cached_engine(KEY.model_copy(update=change), tmp_path) is None
    assert EngineKey.parse(next(tmp_path.glob("*.json")).read_bytes(), "x") == KEY


class _Tensor:
    def __init__(self, name: str) -> None:
        self.name = name


class _FakeRuntime:
    """The part of TensorRT that `EngineEncoder` uses, with names checked against the real package in another test."""

    class TensorIOMode:
        INPUT = "in"

    class DataType:
        FLOAT = _Tensor("FLOAT")
        HALF = _Tensor("HALF")

    class Logger:
        ERROR = 1

        def __init__(self, severity: int) -> None:
            self.severity = severity

    def __init__(self, *, loads: bool = True) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.loads = loads
        self.num_io_tensors = 2

    def Runtime(self, logger: object) -> _FakeRuntime:  # noqa: N802
        return self

    def deserialize_cuda_engine(self, content: bytes) -> _FakeRuntime | None:
        return self if self.loads else None

    def create_execution_context(self) -> _FakeRuntime:
        return self

    def get_tensor_name(self, index: int) -> str:
        return ("frames", "features")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "frames" else "out"

    def get_tensor_dtype(self, name: str) -> _Tensor:
        return self.DataType.FLOAT if name == "frames" else self.DataType.HALF

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return 1, 32, self.shape[2] // 4, self.shape[3] // 4

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append((name, address))
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.calls.append(("stream", stream))
        return True


def test_an_engine_is_run_on_our_stream_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, driver = _FakeRuntime(), EmulatedDriver()
    monkeypatch.setattr(engines, "_load", lambda name: runtime)
    bundle = _bundle(tmp_path, KEY)
    with GpuSession(driver, bundle) as session:
        encoder = EngineEncoder(session, bundle, fitting_engine(bundle, "rtx", HERE))
        image = encoder.prepare(np.zeros((1, 3, 64, 96), np.float32))
        with session.working():
            planes = encoder.enqueue(4096, image.shape)
            again = encoder.enqueue(4096, image.shape)
        assert planes == again
        assert (planes.kind, planes.channels, planes.hw) == ("fp16", 32, (16, 24))
        assert runtime.calls[:3] == [("frames", 4096), ("features", planes.address), ("stream", session.stream)]
        with pytest.raises(InputError, match="64x64 to 854x480, not 64x32"):
            encoder.prepare(np.zeros((1, 3, 32, 64), np.float32))


def test_an_engine_that_does_not_load_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT-RTX answers None without a driver, and prints the reason to the terminal."""
    monkeypatch.setattr(engines, "_load", lambda name: _FakeRuntime(loads=False))
    bundle = _bundle(tmp_path, KEY)
    with GpuSession(EmulatedDriver(), bundle) as session, pytest.raises(BackendError, match="cannot load"):
        EngineEncoder(session, bundle, fitting_engine(bundle, "rtx", HERE))


def test_the_names_used_exist_in_tensorrt_rtx() -> None:
    trt: Any = pytest.importorskip("tensorrt_rtx")
    for owner, names in {
        trt: ("Logger", "Runtime", "TensorIOMode", "DataType"),
        trt.Runtime: ("deserialize_cuda_engine",),
        trt.ICudaEngine: (
            "create_execution_context",
            "num_io_tensors",
            "get_tensor_name",
            "get_tensor_mode",
            "get_tensor_dtype",
        ),
        trt.IExecutionContext: ("set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3"),
    }.items():
        assert [name for name in names if not hasattr(owner, name)] == []
    assert {trt.DataType.HALF.name, trt.DataType.FLOAT.name} == set(engines._KINDS)
    assert hasattr(trt.TensorIOMode, "INPUT")
