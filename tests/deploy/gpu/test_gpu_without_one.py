"""A machine without a GPU: one sentence at the first driver call, exit code 2, and doctor explains."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_deploy.bundle import Bundle, Payload, open_bundle, write_bundle
from fgvc_deploy.doctor import diagnose
from fgvc_deploy.engines import split_backend
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_deploy.gpu import probe
from fgvc_deploy.gpu.create import create_engine
from fgvc_deploy.gpu.cubins.images import kernel_images, pick
from fgvc_deploy.gpu.device import cuda_bindings, cuda_driver
from fgvc_deploy.model import DEFAULT_BUNDLE, Model
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_deploy.video.writer import VideoWriter
from gpu_bundles import gpu_draft, kernel_payloads
from toy_encoder import toy_onnx

CUDA_PYTHON = importlib.util.find_spec("cuda") is not None


def _gpu_here() -> bool:
    try:
        probe.device()
    except BackendError:
        return False
    return True


without_gpu = pytest.mark.skipif(_gpu_here(), reason="there is a GPU here")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    encoder = Payload("encoder", "onnx", "encoder.onnx", toy_onnx(channels=32), "fp32")
    settings = EncoderSettings(arch="toy", stride=4, channels=32)
    draft = gpu_draft(
        settings, PropagationSettings(), encoder, *kernel_payloads(settings, PropagationSettings(), chip="sm_90")
    )
    return write_bundle(draft, tmp_path / "bundle")


@without_gpu
@pytest.mark.parametrize("backend", ["gpu", "onnxruntime+gpu", "rtx+gpu"])
def test_tracking_ends_with_one_sentence(bundle: Bundle, backend: str) -> None:
    with pytest.raises(BackendError, match=cuda_bindings.NO_DRIVER[:30] if CUDA_PYTHON else "pip install") as caught:
        Model(bundle).point_tracker(backend=backend)
    assert "\n" not in str(caught.value)


@without_gpu
def test_the_command_ends_with_exit_code_2(bundle: Bundle, tmp_path: Path) -> None:
    code = "from fgvc_deploy.cli import main; main()"
    arguments = ["run", "clip.mp4", "--grid", "4", "--model", str(bundle.path), "--backend", "gpu", "--out", "out"]
    with VideoWriter(tmp_path / "clip.mp4", 10, (64, 64)) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "NVIDIA driver" in done.stderr or "cuda-python" in done.stderr


def test_cuda_python_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match=r"pip install 'fgvc-deploy\[gpu\]'"):
        cuda_driver.open_driver()


@without_gpu
def test_doctor_says_what_would_run_where(bundle: Bundle) -> None:
    diagnosis = diagnose(bundle.path)
    assert diagnosis.problem is None, "the CPU can run it"
    states = {state.name: state.reason for state in diagnosis.backends}
    assert states["gpu"] is not None
    assert "driver" in states["gpu"] or "cuda-python" in states["gpu"]
    assert diagnosis.notes == ("GPU kernels for sm_87 (Jetson Orin), sm_90 (H100, H200, GH200)",)


def test_a_bundle_without_kernels_names_the_target() -> None:
    with pytest.raises(BackendError, match="--target cubin:"):
        create_engine(open_bundle(DEFAULT_BUNDLE), PropagationSettings())


def test_kernels_are_chosen_by_name_constants_and_types(bundle: Bundle) -> None:
    images = kernel_images(bundle, "sm_90")
    found = pick(images, "normalise", "here", {"features": "*fp32"}, {"C": 32})
    assert (found.metadata.kernel, found.metadata.arch) == ("normalise", "sm_90a")
    assert pick(images, "local_topk", "here", {}, {}).metadata.kernel == "local_topk"
    with pytest.raises(BundleError, match=r"no kernel normalise for C=64 \(it has: normalise C=32\)"):
        pick(images, "normalise", "here", {}, {"C": 64})


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        ("gpu", ("auto", "gpu")),
        ("onnxruntime+gpu", ("onnxruntime", "gpu")),
        ("rtx+gpu", ("rtx", "gpu")),
        ("onnxruntime-cuda", ("onnxruntime-cuda", "auto")),
    ],
)
def test_names(backend: str, names: tuple[str, str]) -> None:
    assert split_backend(backend) == names


def test_auto_never_takes_the_gpu_and_two_of_a_kind_are_refused() -> None:
    assert split_backend("auto") == ("auto", "auto")
    with pytest.raises(InputError, match="two of a kind"):
        split_backend("gpu+native")


def test_an_engine_needs_the_gpus_propagation(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"rtx\+gpu"):
        Model(bundle).point_tracker(backend="rtx+numpy")


def test_nothing_of_the_gpu_is_imported_unless_asked_for() -> None:
    code = (
        "import sys, fgvc_deploy; fgvc_deploy.load(); print([m for m in sys.modules if m.split('.')[0] in WATCHED])"
    )
    code = code.replace("WATCHED", "('cuda', 'torch', 'triton', 'tensorrt', 'tensorrt_rtx')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _names_used() -> list[str]:
    source = "".join(Path(str(m.__file__)).read_text(encoding="utf-8") for m in (cuda_driver, cuda_bindings))
    return sorted(set(re.findall(r"\b_?cuda\.(cu[A-Z]\w+|CU\w+)", source)))


def test_every_name_exists_in_the_bindings() -> None:
    driver: Any = pytest.importorskip("cuda.bindings.driver")
    names = _names_used()
    assert len(names) > 35
    assert [name for name in names if not hasattr(driver, name)] == []
