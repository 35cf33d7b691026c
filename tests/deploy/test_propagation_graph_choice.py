"""Which propagation backend runs: the bundle's graph by name, in `auto` before NumPy; refusals say the mend."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, write_bundle
from fgvc_deploy.doctor import diagnose
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.propagation import select
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.propagation.onnx_graph import OnnxGraphBackend
from fgvc_deploy.propagation.select import create_propagation
from fgvc_deploy.settings import PropagationSettings
from fgvc_kernels import native
from portable_graph import graph

Make = Callable[..., Bundle]
SETTINGS = PropagationSettings(radius=7.5)


@pytest.fixture
def make(bundle_draft: BundleDraft, tmp_path: Path) -> Make:
    """A bundle with `content` as its propagation graph; None: without one."""

    def bundle(content: bytes | None) -> Bundle:
        graphs = () if content is None else (Payload("propagation", "onnx", "propagation.onnx", content, "fp32"),)
        draft = dataclasses.replace(bundle_draft, payloads=bundle_draft.payloads + graphs)
        return write_bundle(draft, tmp_path / "made")

    return bundle


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: (False, "no kernel was built"))


def test_by_name_it_runs_the_graph_of_the_bundle(make: Make) -> None:
    backend = create_propagation("onnx", SETTINGS, 2, make(graph()))
    assert isinstance(backend, OnnxGraphBackend)
    features = np.random.default_rng(0).random((9, 10, 4), dtype=np.float32)
    frame = backend.prepare(features)
    found = backend.match(frame, [frame], Window("circle", 2.0), 1)
    np.testing.assert_array_equal(found.positions[:, 0], np.arange(90))


def test_a_bundle_without_a_graph_is_told_with_the_command(make: Make) -> None:
    with pytest.raises(
        BackendError,
        match=r"'onnx' cannot run here: the bundle has no propagation graph; .*--target onnx --target propagation",
    ):
        create_propagation("onnx", SETTINGS, 2, make(None))
    with pytest.raises(BackendError, match="'onnx' cannot run here: its graph lies in a bundle, and none is given"):
        create_propagation("onnx", SETTINGS, 2)


@pytest.mark.usefixtures("no_native")
@pytest.mark.parametrize(("content", "name"), [(graph(), "onnx"), (None, "numpy")], ids=["graph", "no graph"])
def test_auto_without_the_native_kernel(make: Make, content: bytes | None, name: str) -> None:
    assert create_propagation("auto", SETTINGS, 2, make(content)).name == name


@pytest.mark.usefixtures("no_native")
def test_auto_without_onnx_runtime(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make(graph())
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    assert create_propagation("auto", SETTINGS, 2, bundle).name == "numpy"
    with pytest.raises(
        BackendError, match=r"the package onnxruntime is not installed; pip install 'fgvc-deploy\[cpu"
    ):
        create_propagation("onnx", SETTINGS, 2, bundle)


def test_doctor_knows_whether_the_bundle_has_a_graph(make: Make) -> None:
    states = {state.name: state.reason for state in diagnose(make(graph()).path).backends}
    assert states["onnx"] is None
    states = {state.name: state.reason for state in diagnose(None).backends}
    assert list(states)[-len(select.PROPAGATION_BACKENDS) :] == list(select.propagation_names())


def test_a_file_that_is_no_graph(make: Make) -> None:
    with pytest.raises(BackendError, match=r"'propagation\.onnx' cannot be loaded by ONNX Runtime"):
        create_propagation("onnx", SETTINGS, 2, make(b"no graph"))


def test_a_graph_of_another_kind() -> None:
    renamed = graph().replace(b"temperature", b"temperatura")
    with pytest.raises(BundleError, match=r"the file is not the propagation graph of this version; export"):
        OnnxGraphBackend(renamed, where="the file")
