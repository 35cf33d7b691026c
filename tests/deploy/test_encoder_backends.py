"""Encoder backends: ONNX Runtime computes the graph, and whatever keeps it from running is told in one sentence."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, write_bundle
from fgvc_deploy.encoders import select
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_deploy.settings import EncoderSettings

STRIDE, CHANNELS = 4, 24
# Feature (i, j) is this matrix times the colour of pixel (4i, 4j).
MATRIX = np.random.default_rng(0).standard_normal((CHANNELS, 3)).astype(np.float32)
Make = Callable[..., Bundle]


def toy_model(*, channels: int = CHANNELS, stride: int = STRIDE, colours: int = 3) -> bytes:
    """A 1x1 convolution with a stride, as an ONNX file of dynamic N, H, W."""
    weight = np.resize(MATRIX, (channels, colours, 1, 1))
    node = helper.make_node("Conv", ["frames", "w"], ["features"], strides=[stride, stride])
    graph = helper.make_graph(
        [node],
        "toy",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["N", colours, "H", "W"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", channels, "h", "w"])],
        [numpy_helper.from_array(weight, "w")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.fixture
def make(bundle_draft: BundleDraft, tmp_path: Path) -> Make:
    """A bundle whose encoder is `content`, by default the toy model."""

    def bundle(content: bytes | None = None, name: str = "bundle") -> Bundle:
        payload = Payload("encoder", "onnx", "encoder.onnx", content or toy_model(), "fp32")
        return write_bundle(dataclasses.replace(bundle_draft, payloads=(payload,)), tmp_path / name)

    return bundle


def frame(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((1, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize("hw", [(32, 32), (33, 47), (75, 101)])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_it_computes_the_graph(make: Make, hw: tuple[int, int], threads: int | None) -> None:
    x = frame(*hw)
    features = select.create(make(), threads=threads).encode(x)
    assert features.shape == (-(-hw[0] // STRIDE), -(-hw[1] // STRIDE), CHANNELS)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    expected = np.einsum("kc,chw->hwk", MATRIX.astype(np.float64), x[0, :, ::STRIDE, ::STRIDE])
    # Three products in fp32.
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_the_same_input_gives_the_same_bits(make: Make) -> None:
    bundle = make()
    first, second = select.create(bundle, threads=2), select.create(bundle, "onnxruntime", threads=2)
    x = frame(96, 128)
    assert np.array_equal(first.encode(x), second.encode(x))
    assert np.array_equal(first.encode(x), first.encode(x.copy()))


def test_input_that_is_not_contiguous(make: Make) -> None:
    x = frame(40, 80)
    encoder = select.create(make())
    assert np.array_equal(encoder.encode(x[..., ::2]), encoder.encode(x[..., ::2].copy()))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (frame(31, 64), "network size of 64x31 is too small"),
        (frame(64, 64).astype(np.float64), r"was given float64 \[1, 3, 64, 64\]"),
        (np.concatenate([frame(64, 64)] * 2), r"was given float32 \[2, 3, 64, 64\]"),
        (frame(64, 64)[0], r"was given float32 \[3, 64, 64\]"),
    ],
    ids=["small", "float64", "batch", "3-d"],
)
def test_input_of_the_wrong_form(make: Make, x: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        select.create(make()).encode(x)


@pytest.mark.parametrize("model", [toy_model(channels=16), toy_model(colours=1)], ids=["channels", "colours"])
def test_a_graph_that_is_not_what_the_manifest_says(make: Make, model: bytes) -> None:
    with pytest.raises(BundleError, match=r"'encoder\.onnx' is not an encoder of 3 colours to 24 channels"):
        select.create(make(model))


def test_a_graph_of_another_stride(make: Make) -> None:
    with pytest.raises(BundleError, match=r"gives features of \(16, 24\) where stride 4 means \(8, 12\)"):
        select.create(make(toy_model(stride=2))).encode(frame(32, 48))


@pytest.mark.parametrize("content", [b"no onnx", toy_model()[:-100], b""], ids=["text", "cut", "empty"])
def test_a_file_onnx_runtime_cannot_load(content: bytes) -> None:
    with pytest.raises(
        BackendError, match=r"a file cannot be loaded by ONNX Runtime \d[^\[:]*`pip install -U"
    ) as caught:
        OnnxRuntimeEncoder(content, EncoderSettings(arch="toy"), where="a file")
    assert "\n" not in str(caught.value)


def test_nothing_is_printed(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BackendError):
        select.create(make(b"no onnx"))
    select.create(make(name="good")).encode(frame(32, 32))
    assert capfd.readouterr() == ("", "")


def test_without_onnx_runtime(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert all(state.reason is not None for state in select.available(bundle))
    for name in ("auto", "onnxruntime"):
        with pytest.raises(BackendError, match=r"not installed; .*`pip install 'fgvc-deploy\[cpu\]'`"):
            select.create(bundle, name)


def test_what_is_available(make: Make) -> None:
    for bundle in (make(), None):
        reasons = {state.entry.name: state.reason for state in select.available(bundle)}
        assert list(reasons) == [entry.name for entry in select.ENCODER_BACKENDS]
        assert reasons["onnxruntime"] is None


def test_a_precision_the_bundle_lacks(make: Make) -> None:
    bundle = make()
    with pytest.raises(
        BackendError, match=r"the bundle has no int8 onnx encoder; export it with `--target onnx:int8`"
    ):
        select.create(bundle, precision="int8")
    with pytest.raises(BundleError, match=r"has no int8 onnx encoder \(of this kind it has: fp32 onnx\)"):
        select.create(bundle, "onnxruntime", precision="int8")


def test_wrong_choices(make: Make) -> None:
    with pytest.raises(InputError, match="no encoder backend 'tpu'; choose one of: auto, onnxruntime"):
        select.create(make(), "tpu")
    with pytest.raises(InputError, match="threads must be at least 1, not 0"):
        select.create(make(name="b"), threads=0)


def test_choosing_does_not_import_the_runtime() -> None:
    code = "import sys, fgvc_deploy.encoders.select as s; s.available(); print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_frame_that_the_runtime_cannot_take_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder

    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory")

    encoder = OnnxRuntimeEncoder.__new__(OnnxRuntimeEncoder)
    monkeypatch.setattr(encoder, "_session", Session(), raising=False)
    monkeypatch.setattr(encoder, "_input", "x", raising=False)
    monkeypatch.setattr(encoder, "_where", "bundle/: encoder.onnx", raising=False)
    with pytest.raises(BackendError, match=r"64x48 .*Failed to allocate.*smaller --size"):
        encoder.encode(np.zeros((1, 3, 48, 64), np.float32))
