"""The MNN encoder: the features of ONNX Runtime, at any size, from any thread, and not a word on the terminal."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, write_bundle
from fgvc_deploy.encoders import select
from fgvc_deploy.encoders.mnn import MnnEncoder
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_export.mnn_target import convert
from toy_encoder import CHANNELS, SETTINGS, toy_onnx

pytestmark = pytest.mark.skipif(importlib.util.find_spec("MNN") is None, reason="MNN is an optional runtime")
Make = Callable[[bytes], Bundle]


@pytest.fixture(scope="module")
def model() -> bytes:
    return convert(toy_onnx())


@pytest.fixture
def make(bundle_draft: BundleDraft, tmp_path: Path) -> Make:
    def bundle(content: bytes) -> Bundle:
        draft = dataclasses.replace(
            bundle_draft, encoder=SETTINGS, payloads=(Payload("encoder", "mnn", "encoder.mnn", content, "fp32"),)
        )
        return write_bundle(draft, tmp_path / "made")

    return bundle


def frame(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(height).standard_normal((1, 3, height, width), dtype=np.float32)


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_it_computes_what_onnx_runtime_computes(model: bytes, threads: int | None) -> None:
    """One size after another, back to the first, and each twice: memory of the run before must not show."""
    ours = MnnEncoder(model, SETTINGS, threads=threads)
    theirs = OnnxRuntimeEncoder(toy_onnx(), SETTINGS)
    for hw in ((64, 96), (64, 96), (33, 47), (32, 32), (75, 101), (64, 96)):
        features, expected = ours.encode(frame(*hw)), theirs.encode(frame(*hw))
        assert features.shape == expected.shape
        assert features.dtype == np.float32
        assert features.flags.c_contiguous
        assert features.flags.owndata
        # Unit vectors from sums of 144 products in fp32, in small Winograd tiles.
        np.testing.assert_allclose(features, expected, rtol=0, atol=2e-6)


def test_the_same_input_gives_the_same_bits_and_results_stay_what_they_were(model: bytes) -> None:
    first, second = (MnnEncoder(model, SETTINGS, threads=2) for _ in range(2))
    x, other = frame(61, 90), frame(62, 90)
    expected = first.encode(x)
    kept = expected.copy()
    first.encode(other)
    np.testing.assert_array_equal(expected, kept)
    np.testing.assert_array_equal(first.encode(x), kept)
    np.testing.assert_array_equal(second.encode(x), kept)


def test_another_thread_may_encode(model: bytes) -> None:
    encoder = MnnEncoder(model, SETTINGS, threads=2)
    expected = encoder.encode(frame(64, 64))
    found: list[NDArray[np.float32]] = []
    thread = threading.Thread(target=lambda: found.append(encoder.encode(frame(64, 64))))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], expected)


def test_input_that_is_not_contiguous_and_input_of_the_wrong_form(model: bytes) -> None:
    encoder = MnnEncoder(model, SETTINGS)
    x = frame(40, 80)
    np.testing.assert_array_equal(encoder.encode(x[..., ::2]), encoder.encode(x[..., ::2].copy()))
    with pytest.raises(InputError, match="network size of 64x31 is too small"):
        encoder.encode(frame(31, 64))
    with pytest.raises(InputError, match="was given float64"):
        encoder.encode(x.astype(np.float64))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            toy_onnx(channels=16),
            r"gives features of shape \(1, 16, 8, 12\) where the manifest means \(1, 24, 8, 12\)",
        ),
        (toy_onnx(stride=2), r"gives features of shape \(1, 24, 16, 24\) where the manifest means \(1, 24, 8, 12\)"),
    ],
    ids=["channels", "stride"],
)
def test_a_model_that_is_not_what_the_manifest_says(make: Make, content: bytes, message: str) -> None:
    encoder = select.create(make(convert(content)), "mnn")
    for _ in range(2):
        with pytest.raises(BundleError, match=message):
            encoder.encode(frame(32, 48))


@pytest.mark.parametrize("content", [b"no model", b"", b"\0" * 64], ids=["text", "empty", "zeros"])
def test_a_file_mnn_cannot_load(content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BackendError, match=r"a file cannot be loaded by MNN \(.+\); export the checkpoint") as caught:
        MnnEncoder(content, SETTINGS, where="a file")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_it_prints_nothing(make: Make, model: bytes) -> None:
    """In a process of its own: MNN prints when it is first imported, and through C, past Python's sys.stdout."""
    code = (
        "import sys, numpy as np\n"
        "from fgvc_deploy.bundle import open_bundle\n"
        "from fgvc_deploy.encoders.select import create\n"
        "print('before')\n"
        "encoder = create(open_bundle(sys.argv[1]), 'mnn')\n"
        "print(encoder.encode(np.zeros((1, 3, 32, 32), np.float32)).shape)\n"
        "print(encoder.encode(np.zeros((1, 3, 48, 64), np.float32)).shape)\n"
    )
    command = [sys.executable, "-c", code, str(make(model).path)]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == ["before", f"(8, 8, {CHANNELS})", f"(12, 16, {CHANNELS})"]
    assert done.stderr == ""


def test_without_mnn_the_command_is_named(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MNN", None)
    with pytest.raises(
        BackendError, match=r"MNN is not installed; install it with `pip install 'fgvc-deploy\[cpu\]'`"
    ):
        MnnEncoder(model, SETTINGS)
