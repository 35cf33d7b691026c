"""Target `mnn`: the file computes the ONNX file, is the same every time, and promises no bf16 that it has not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.encoders.mnn import MnnEncoder
from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.errors import BackendError
from fgvc_export import mnn_target
from fgvc_export.budgets import BUDGETS
from fgvc_export.mnn_target import build, convert
from fgvc_export.parity import worst_cosine
from fgvc_export.targets import TARGETS as ROWS
from fgvc_export.targets import Choice, Source, run
from toy_encoder import SETTINGS, toy_onnx

pytestmark = pytest.mark.skipif(importlib.util.find_spec("MNN") is None, reason="MNN is an optional runtime")
ExportOf = Callable[[str], Any]


@pytest.mark.parametrize("arch", ["resnet18_d1", "edge_lite0"])
def test_it_computes_the_onnx_encoder(exported: ExportOf, arch: str) -> None:
    """In the budgets of fp32, which MNN's default Winograd tiles miss twentyfold on the ResNet."""
    bundle = exported(arch).report.bundle
    content = bundle.read(bundle.find(kind="encoder"))
    theirs = OnnxRuntimeEncoder(content, bundle.manifest.encoder)
    ours = run(Choice(ROWS["mnn"], "fp32"), convert(content), bundle.manifest.encoder)
    for hw in ((64, 80), (33, 47)):
        x = np.random.default_rng(0).standard_normal((1, 3, *hw), dtype=np.float32)
        mine, expected = (encoder.encode(x).astype(np.float64) for encoder in (ours, theirs))
        assert np.abs(mine - expected).max() <= BUDGETS["feature_error_max"].value["fp32"] * np.abs(expected).max()
        assert worst_cosine(mine, expected) >= BUDGETS["feature_cosine_min"].value["fp32"]


@pytest.mark.parametrize("keepdims", [1, 0])
def test_norms_are_taken_over_their_axes_alone(keepdims: int) -> None:
    """The converter overlooks the axes that opset 18 made an input; unit vectors show it at once."""
    x = np.random.default_rng(1).standard_normal((1, 3, 40, 48), dtype=np.float32)
    features = MnnEncoder(convert(toy_onnx(keepdims=keepdims)), SETTINGS).encode(x)
    np.testing.assert_allclose(np.linalg.norm(features, axis=2), 1, rtol=0, atol=1e-5)


def test_two_conversions_are_the_same_bytes_and_another_model_has_another_name() -> None:
    first, again, other = convert(toy_onnx()), convert(toy_onnx()), convert(toy_onnx(channels=8))
    assert first == again
    names = [mnn_target.RANDOM_NAME.search(content) for content in (first, other)]
    assert all(name is not None for name in names)
    assert len({name[1] for name in names if name}) == 2


def test_what_the_converter_cannot_take_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnn_target, "CONVERT", "import sys; print('a first remark'); sys.exit('no such operator')")
    with pytest.raises(BackendError, match=r"MNN's converter did not take the ONNX encoder \(no such operator\)"):
        convert(toy_onnx())


def test_converting_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    convert(toy_onnx())
    assert capfd.readouterr() == ("", "")


def test_the_command_that_reports_to_a_server_is_not_loaded() -> None:
    """`MNN.tools.mnnconvert` pulls in its logger, which installs a package and sends every conversion to a server."""
    code = mnn_target.CONVERT + "; print(any(name.startswith(('MNN.tools', 'aliyun')) for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


class Constant:
    """An encoder whose features are one number."""

    name = "constant"

    def __init__(self, value: float) -> None:
        self._value = value

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((1, 1, 1), self._value, np.float32)


def test_bf16_that_is_fp32_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(Any, SETTINGS, Any, "bf16", {}, shared={"onnx": toy_onnx()})  # type: ignore[arg-type]
    values = {"fp32": 1.0, "bf16": 1.0}
    monkeypatch.setattr(mnn_target, "run", lambda content, settings, precision: Constant(values[precision]))
    with pytest.raises(BackendError, match="MNN computes in fp32 here when it is asked for bf16"):
        build(source)
    values["bf16"] = 1.01
    assert build(source) == convert(toy_onnx())
