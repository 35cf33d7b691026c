"""Backend `winograd`: another file of the same encoder, with channels last, that joins the race between encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, write_bundle
from fgvc_deploy.encoders import select
from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.errors import BackendError, BundleError
from toy_encoder import CHANNELS, SETTINGS, STRIDE, toy_onnx

Make = Callable[..., Bundle]


def channels_last(content: bytes) -> bytes:
    """The toy encoder with its output transposed, as target `winograd` gives it."""
    model = onnx.load_from_string(content)
    output = model.graph.output[0]
    model.graph.node.append(helper.make_node("Transpose", [output.name], ["last"], perm=[0, 2, 3, 1]))
    output.CopyFrom(helper.make_tensor_value_info("last", onnx.TensorProto.FLOAT, ["N", "h", "w", CHANNELS]))
    return bytes(model.SerializeToString())


@pytest.fixture
def make(bundle_draft: BundleDraft, tmp_path: Path) -> Make:
    """A bundle with the toy encoder for `onnx`, and this content for `winograd`."""

    def bundle(content: bytes) -> Bundle:
        files = {"onnx": toy_onnx(), "winograd": content}
        payloads = tuple(Payload("encoder", t, f"encoder.{t}", c, "fp32") for t, c in files.items())
        draft = dataclasses.replace(bundle_draft, encoder=SETTINGS, payloads=payloads)
        return write_bundle(draft, tmp_path / "made")

    return bundle


def test_it_gives_the_features_of_the_other(make: Make) -> None:
    bundle = make(channels_last(toy_onnx()))
    ours, theirs = (select.create(bundle, name, threads=1) for name in ("winograd", "onnxruntime"))
    assert (ours.name, theirs.name) == ("winograd", "onnxruntime")
    for hw in ((32, 32), (33, 47)):
        x = np.random.default_rng(0).standard_normal((1, 3, *hw), dtype=np.float32)
        features = ours.encode(x)
        assert features.flags.c_contiguous
        np.testing.assert_array_equal(features, theirs.encode(x))


def test_auto_lets_it_race(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def first(backends: Any) -> EncoderBackend:
        names.extend(backend.name for backend in backends)
        winner: EncoderBackend = backends[0]
        return winner

    monkeypatch.setattr(select, "fastest", first)
    select.create(make(channels_last(toy_onnx())))
    assert names == ["onnxruntime", "winograd"]


def test_a_graph_of_another_stride(make: Make) -> None:
    encoder = select.create(make(channels_last(toy_onnx(stride=STRIDE // 2))), "winograd")
    with pytest.raises(BundleError, match=r"'encoder\.winograd' gives features of \(16, 24\) where stride 4 means"):
        encoder.encode(np.zeros((1, 3, 32, 48), np.float32))


def test_a_bundle_without_it(bundle_draft: BundleDraft, tmp_path: Path) -> None:
    bundle = write_bundle(bundle_draft, tmp_path / "plain")
    reasons = {state.entry.name: state.reason for state in select.available(bundle)}
    assert reasons["winograd"] == (
        "winograd: the bundle has no winograd encoder; export it with `--target winograd`."
    )
    with pytest.raises(BundleError, match="has no fp32 winograd encoder"):
        select.create(bundle, "winograd")


def test_a_file_that_cannot_be_loaded(make: Make) -> None:
    with pytest.raises(BackendError, match=r"'encoder\.winograd' cannot be loaded by ONNX Runtime"):
        select.create(make(b"no onnx"), "winograd")
