"""The ONNX file: any size, any batch, batch norm folded, nothing of the exporting machine in it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from fgvc_export.folding import fold_batch_norm
from fgvc_export.onnx_fp32 import OPSET, _quiet_exporter
from fgvc_export.onnx_target import build
from fgvc_export.settings import encoder_settings, propagation_settings
from fgvc_export.targets import Source
from fgvc_training.encoder.architectures import ARCHITECTURES
from fgvc_training.encoder.untrained import untrained_encoder

ARCHS = list(ARCHITECTURES)
ExportOf = Callable[[str], Any]


def content_of(exported: ExportOf, arch: str) -> bytes:
    bundle = exported(arch).report.bundle
    return bytes(bundle.read(bundle.find(kind="encoder", target="onnx", precision="fp32")))


@pytest.mark.parametrize("arch", ARCHS)
def test_the_graph(exported: ExportOf, arch: str) -> None:
    content = content_of(exported, arch)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    row = ARCHITECTURES[arch]
    (frames,), (features,) = model.graph.input, model.graph.output
    assert (frames.name, dims(frames)) == ("frames", ["N", 3, "H", "W"])
    assert (features.name, dims(features)) == ("features", ["N", row.channels, "feature_height", "feature_width"])
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["arch"] == model.graph.name == arch
    assert properties["weights"] == "untrained weights"
    assert properties["stride"] == str(row.stride)


def dims(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("arch", ARCHS)
def test_nothing_of_this_machine_is_in_the_file(exported: ExportOf, arch: str) -> None:
    content = content_of(exported, arch)
    for trace in (b"site-packages", b"stack_trace", b".py", b"/home", b"/root", b"/work"):
        assert trace not in content
    # Buffers are weights too: means and directions that were measured.
    weights = sum(t.numel() for t in fold_batch_norm(untrained_encoder(arch)).state_dict().values()) * 4
    # Names, operators and constants beside the weights.
    assert len(content) < weights + 50_000


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 33, 47), (3, 75, 101), (1, 97, 36)], ids=str)
@pytest.mark.parametrize("arch", ARCHS)
@torch.inference_mode()
def test_any_batch_and_size_equals_torch(exported: ExportOf, arch: str, shape: tuple[int, int, int]) -> None:
    session = onnxruntime.InferenceSession(content_of(exported, arch), providers=["CPUExecutionProvider"])
    x = torch.randn(shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(sum(shape)))
    expected = untrained_encoder(arch)(x).numpy()
    (features,) = session.run(None, {"frames": x.numpy()})
    assert features.shape == expected.shape
    # fp32 rounding in another order of summation; the gate's own budget.
    assert np.abs(features - expected).max() <= 5e-5 * np.abs(expected).max()


@pytest.mark.parametrize("arch", ARCHS)
@torch.inference_mode()
def test_folding_keeps_the_function_and_the_original(arch: str) -> None:
    module = untrained_encoder(arch)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    folded = fold_batch_norm(module)
    assert not any(isinstance(child, nn.BatchNorm2d) for child in folded.modules())
    x = torch.randn(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    expected = module(x)
    # fp32: each folded weight is rounded once more.
    assert (folded(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("arch", ARCHS)
def test_an_export_prints_nothing(exported: ExportOf, arch: str) -> None:
    assert exported(arch).printed == ""


def test_only_the_two_known_remarks_are_silenced(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    log.propagate, propagate = True, log.propagate
    with _quiet_exporter():
        log.warning("torchvision is not installed. Skipping %s", "torchvision::nms")
        log.warning("something new")
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use another", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning):
            warnings.warn("another thing is deprecated", FutureWarning, stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", UserWarning, stacklevel=1)
    log.propagate = propagate
    assert caplog.messages == ["something new"]


@pytest.mark.slow
def test_two_exports_are_the_same_bytes(exported: ExportOf) -> None:
    row = ARCHITECTURES["resnet18_d1"]
    settings = encoder_settings(row), propagation_settings(row)
    first, second = (Source(untrained_encoder(row.name), *settings, "fp32", {"arch": row.name}) for _ in range(2))
    assert build(first) == build(second)
