"""`CudaDriver` through the real bindings, into a stub of libcuda: which functions are called, and with what.

The stub (libcuda_stub.c) refuses wrong handles, flags and a missing context, and logs what launches point to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cuda.bindings.driver")
HERE = Path(__file__).parent
SCRIPT = """
import json, struct, sys
import numpy as np
from fgvc_deploy.gpu.device.cuda_driver import open_driver
from fgvc_deploy.gpu.device.driver import Grid
from fgvc_deploy.gpu.device.memory import DevicePool, PinnedArray
from fgvc_deploy.errors import BackendError

def work():
    driver = open_driver()
    with driver.current():
        stream = driver.create_stream()
        module = driver.load_module(b"\\x7fELF" + bytes(60), "load a kernel")
        function = driver.function(module, "stub_kernel", "load a kernel")
        layout = driver.parameter_layout(function, 9)
        driver.allow_shared(function, 67584, "load a kernel")
        pool, pinned = DevicePool(driver), PinnedArray(driver, (4, 5), np.float32, "a test")
        a, b = pool.take(80, "a"), pool.take(80, "b")
        pinned.array[...] = np.arange(20).reshape(4, 5)
        event = driver.create_event()
        driver.upload(a.address, pinned.address, 80, stream)
        driver.record_event(event, stream)
        driver.wait_event(event, "wait")
        driver.copy(b.address, a.address, 80, stream)
        pinned.array[...] = 0
        driver.download(pinned.address, b.address, 80, stream)
        driver.synchronise(stream, "wait")
        came_back = pinned.array.tolist()
        block = struct.pack("<QifQQ", 0xABCD00, -7, 0.5, 0, 0)
        driver.launch(function, Grid(3, 2), 128, 67584, stream, block, layout, "launch the kernel stub")
        driver.begin_capture(stream)
        graph = driver.end_capture(stream, "record a step")
        driver.launch_graph(graph, stream)
        driver.destroy_graph(graph)
        driver.destroy_event(event)
        pinned.close()
        pool.close()
        driver.unload_module(module)
        driver.destroy_stream(stream)
    driver.release()
    return {"info": driver.info._asdict(), "cuda": driver.info.cuda, "layout": layout, "came_back": came_back}

try:
    print(json.dumps(work()))
except BackendError as error:
    print(json.dumps({"error": str(error), "code": getattr(error, "code", None)}))
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("stub") / "libcuda.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(HERE / "libcuda_stub.c"), "-ldl"], check=True
    )
    return library


def _run(stub: Path, folder: Path, fail: str = "") -> tuple[dict[str, object], list[str]]:
    log = folder / "log"
    log.touch()
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(stub.parent),
        "STUB_SELF": str(stub),
        "STUB_LOG": str(log),
        "STUB_FAIL": fail,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), log.read_text(encoding="utf-8").splitlines()


def test_every_call_reaches_the_driver_as_meant(stub: Path, tmp_path: Path) -> None:
    found, log = _run(stub, tmp_path)
    assert found["info"] == {
        "ordinal": 0,
        "name": "Stub GPU",
        "uuid": bytes(range(16)).hex(),
        "compute_capability": [8, 7],
        "memory_bytes": 8 << 30,
        "multiprocessors": 16,
        "shared_per_block": 166912,
        "driver_version": 13020,
    }
    assert found["cuda"] == "13.2"
    assert found["layout"] == [[0, 8], [8, 4], [12, 4], [16, 8], [24, 8]]
    assert found["came_back"] == [[float(5 * i + j) for j in range(5)] for i in range(4)]
    assert "launch 3,2,1 128,1,1 67584 | abcd00 -7 0.5 0 0" in log
    assert "attribute 8 67584" in log
    counts = {name: log.count(name) for name in set(log)}
    for taken, freed in {
        "cuMemAlloc_v2": "cuMemFree_v2",
        "cuMemHostAlloc": "cuMemFreeHost",
        "cuModuleLoadData": "cuModuleUnload",
        "cuStreamCreate": "cuStreamDestroy_v2",
        "cuEventCreate": "cuEventDestroy_v2",
        "cuStreamEndCapture": "cuGraphDestroy",
        "cuGraphInstantiateWithFlags": "cuGraphExecDestroy",
        "cuDevicePrimaryCtxRetain": "cuDevicePrimaryCtxRelease_v2",
    }.items():
        assert counts[taken] == counts[freed] > 0, taken


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        ("cuInit=100", "CUDA could not start the driver: no GPU was found"),
        ("cuInit=803", "different versions"),
        ("cuModuleLoadData=209", "CUDA could not load a kernel: the kernel was compiled for another chip"),
        ("cuLaunchKernel=719", "launch the kernel stub: a kernel stopped (CUDA_ERROR_LAUNCH_FAILED, code 719)"),
        ("cuMemAlloc_v2=2", "get 0.0 MB for a: the GPU's memory is exhausted"),
        ("cuStreamSynchronize=912", "could not wait: what the driver says (CUDA_ERROR_OTHER, code 912)"),
    ],
)
def test_failures_are_sentences(stub: Path, tmp_path: Path, fail: str, said: str) -> None:
    found, _ = _run(stub, tmp_path, fail)
    assert said in str(found["error"])
    assert found["code"] == int(fail.partition("=")[2])


def test_a_status_newer_than_the_bindings_is_a_sentence_too(stub: Path, tmp_path: Path) -> None:
    found, _ = _run(stub, tmp_path, "cuStreamSynchronize=9999")
    assert "pip install -U cuda-python" in str(found["error"])
    assert found["code"] == 999
