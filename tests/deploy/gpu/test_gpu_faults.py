"""CUDA errors as sentences, and nothing left behind when one strikes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle, Payload, write_bundle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.create import create_engine
from fgvc_deploy.gpu.device.faults import FAULTS, CudaError, cuda_error
from fgvc_deploy.gpu.device.memory import DevicePool
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_deploy.trackers.points import PointTracker
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver
from gpu_handles import device
from toy_encoder import toy_onnx

from .conftest import Engines

ENCODER = EncoderSettings(arch="toy", stride=4, channels=32)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    encoder = Payload("encoder", "onnx", "encoder.onnx", toy_onnx(channels=32), "fp32")
    return write_bundle(gpu_draft(ENCODER, PropagationSettings(), encoder), tmp_path / "bundle")


def _step_all(tracker: PointTracker, frames: Iterable[NDArray[np.uint8]]) -> None:
    for frame in frames:
        tracker.step(frame)


@pytest.mark.parametrize("code", FAULTS)
def test_every_fault_says_what_and_what_to_do(code: int) -> None:
    error = cuda_error(code, "CUDA_ERROR_X", "load the kernel")
    assert str(error).startswith("CUDA could not load the kernel: ")
    assert f"(CUDA_ERROR_X, code {code}); " in str(error)
    assert str(error).endswith(".")


def test_unknown_faults_and_pickling() -> None:
    error = cuda_error(12345, "CUDA_ERROR_NEW", "launch", "something new")
    assert "something new (CUDA_ERROR_NEW, code 12345)" in str(error)
    again = pickle.loads(pickle.dumps(cuda_error(700, "CUDA_ERROR_ILLEGAL_ADDRESS", "track")))
    assert isinstance(again, CudaError)
    assert (again.code, again.lost) == (700, True)
    assert not cuda_error(2, "X", "y").lost


# Everything that opening a session and loading kernels asks of the driver.
@pytest.mark.parametrize(
    ("method", "nth"),
    [
        *(("load_module", nth) for nth in (1, 3)),
        *((name, 1) for name in ("function", "parameter_layout", "allow_shared", "create_stream", "create_event")),
    ],
)
def test_a_failure_while_starting_leaves_nothing_behind(bundle: Bundle, method: str, nth: int) -> None:
    driver = EmulatedDriver()
    driver.fail[method] = (719, nth)
    with pytest.raises(CudaError, match="code 719"):
        create_engine(bundle, PropagationSettings(), encoder="onnxruntime", driver=driver)
    assert driver.alive() == {}
    assert driver.released


@pytest.mark.parametrize("method", ["launch", "upload", "download", "allocate", "allocate_pinned", "record_event"])
def test_a_failure_while_tracking_can_be_closed(
    engines: Engines, clip: NDArray[np.uint8], driver: EmulatedDriver, method: str
) -> None:
    _, gpu = engines()
    tracker = PointTracker(gpu)
    tracker.add_points([[20.0, 12.0]])
    tracker.step(clip[0])
    driver.fail[method] = (702, 1)
    with pytest.raises(CudaError, match="code 702"):
        _step_all(tracker, clip[1:4])
    gpu.session.close()
    assert driver.alive() == {}


def test_a_failure_while_recording_ends_the_recording(
    engines: Engines, clip: NDArray[np.uint8], driver: EmulatedDriver
) -> None:
    _, gpu = engines()
    tracker = PointTracker(gpu)
    tracker.add_points([[20.0, 12.0]])
    steps = iter([*clip, *clip[::-1]])
    while not driver.calls["begin_capture"]:
        tracker.step(next(steps))
    driver.fail["end_capture"] = (901, 1)
    with pytest.raises(CudaError, match="record a step"):
        _step_all(tracker, steps)
    gpu.session.close()
    assert driver.alive() == {}


def test_wild_launches_lose_the_context_and_closing_still_works(
    engines: Engines, clip: NDArray[np.uint8], driver: EmulatedDriver
) -> None:
    _, gpu = engines()
    tracker = PointTracker(gpu)
    tracker.add_points([[20.0, 12.0]])
    tracker.step(clip[0])
    driver.memory.free(next(iter(gpu._arenas.values())).base)
    with pytest.raises(CudaError, match="not its own") as caught:
        _step_all(tracker, clip[1:4])
    assert caught.value.lost
    gpu.session.close()


def test_memory_that_runs_out_is_named_and_idle_memory_is_given_up_first() -> None:
    driver = EmulatedDriver(memory_limit=1 << 20)
    pool = DevicePool(driver)
    with driver.current():
        first = pool.take(700_000, "a")
        with pytest.raises(CudaError, match=r"get 0.7 MB for b: the GPU's memory is exhausted .*smaller --size"):
            pool.take(700_001, "b")
        first.release()
        first.release()
        second = pool.take(800_000, "b")
        assert pool.bytes == second.size
        second.release()
        assert pool.take(800_000, "c").address == second.address
        pool.close()
    assert driver.alive() == {}


def test_the_wrong_chip_is_refused(bundle: Bundle) -> None:
    driver = EmulatedDriver(device((8, 9), "RTX 4090"))
    with pytest.raises(BackendError, match=r"none runs on the GPU here, RTX 4090 \(sm_89\)"):
        create_engine(bundle, PropagationSettings(), encoder="onnxruntime", driver=driver)
    assert driver.released


def test_a_kernel_larger_than_the_chip_is_refused(bundle: Bundle) -> None:
    driver = EmulatedDriver(device((8, 7))._replace(shared_per_block=48 << 10))
    with pytest.raises(BackendError, match="67584 bytes of shared memory"):
        create_engine(bundle, PropagationSettings(), encoder="onnxruntime", driver=driver)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"topk": 5}, "k 10, not 5"),
        ({"temperature": 0.1}, "temperature 0.07"),
        ({"window": "square"}, "square windows"),
        ({"mode": "coarse_to_fine", "coarse_scale": 8}, "a coarse scale of 4, not 8"),
    ],
)
def test_settings_that_were_not_compiled_in_are_refused(
    bundle: Bundle, changed: dict[str, object], said: str
) -> None:
    driver = EmulatedDriver()
    settings = PropagationSettings.model_validate(PropagationSettings().model_dump() | changed)
    with pytest.raises(BackendError, match=said):
        create_engine(bundle, settings, encoder="onnxruntime", driver=driver)
    assert driver.alive() == {}
    assert driver.released


def test_metadata_that_disagrees_with_the_machine_code_is_found_before_a_launch(tmp_path: Path) -> None:
    """The driver reads the parameter table out of the cubin; a JSON edited or mixed up does not get past it."""
    draft = gpu_draft(ENCODER, PropagationSettings())
    payloads = [_with_wide_integers(p) if p.path.endswith("/local_topk.json") else p for p in draft.payloads]
    draft = replace(draft, payloads=tuple(payloads))
    bundle = write_bundle(draft, tmp_path / "wrong")
    with pytest.raises(BundleError, match="at other places"):
        create_engine(bundle, PropagationSettings(), encoder="onnxruntime", driver=EmulatedDriver())


def _with_wide_integers(payload: Payload) -> Payload:
    """Metadata that is consistent in itself, but whose integers take 8 bytes."""
    facts = json.loads(payload.content)
    for index, row in enumerate(facts["params"]):
        row |= {"size": 8, "offset": 8 * index, "type": "i64" if row["type"] == "i32" else row["type"]}
    return replace(payload, content=json.dumps(facts).encode())
