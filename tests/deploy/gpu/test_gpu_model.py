"""`Model` with `backend="onnxruntime+gpu"` on an emulated GPU: the way every user comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Payload, write_bundle
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu import create
from fgvc_deploy.model import Model
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver
from toy_encoder import toy_onnx

QUERIES_TYX = np.array([[0, 12.3, 20.6], [2, 20.4, 31.7]], np.float32)
SETTINGS = PropagationSettings(radius=4.0, active_tau=0.0)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr(create, "open_driver", EmulatedDriver)
    encoder = Payload("encoder", "onnx", "encoder.onnx", toy_onnx(channels=32), "fp32")
    draft = gpu_draft(EncoderSettings(arch="toy", stride=4, channels=32), SETTINGS, encoder, feature="fp32")
    return Model(write_bundle(draft, tmp_path / "bundle"))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_points_of_a_whole_video(model: Model, clip: NDArray[np.uint8], bidirectional: bool) -> None:
    found, expected = (
        model.track(clip[:8], QUERIES_TYX, size=(64, 88), backend=backend, bidirectional=bidirectional)
        for backend in ("onnxruntime+gpu", "onnxruntime+numpy")
    )
    np.testing.assert_allclose(found.tracks, expected.tracks, atol=2e-3)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)


def test_masks_of_a_whole_video(model: Model, clip: NDArray[np.uint8]) -> None:
    first = np.zeros(clip.shape[1:3], np.uint8)
    first[8:20, 10:25] = 5
    found, expected = (
        model.track_masks(clip[:5], first, size=(64, 88), backend=backend)
        for backend in ("onnxruntime+gpu", "onnxruntime+numpy")
    )
    assert (found != expected).mean() < 1e-3


def test_the_engine_is_kept_and_names_what_runs(model: Model) -> None:
    engine = model.engine("onnxruntime+gpu")
    assert engine is model.engine("onnxruntime+gpu")
    assert (engine.encoder.name, engine.matcher.name) == ("onnxruntime", "gpu")


def test_the_encoder_of_the_engine_gives_the_encoders_features(model: Model, clip: NDArray[np.uint8]) -> None:
    x = np.random.default_rng(3).normal(size=(1, 3, 64, 96)).astype(np.float32)
    found, expected = (model.engine(b).encoder.encode(x) for b in ("onnxruntime+gpu", "onnxruntime+numpy"))
    np.testing.assert_array_equal(found, expected)


def test_without_an_encoder_for_the_gpu_every_reason_is_given(model: Model) -> None:
    with pytest.raises(BackendError, match=r"onnxruntime\+gpu.*tensorrt: .*rtx: .*onnxruntime-cuda: ") as caught:
        model.point_tracker(backend="gpu")
    assert "\n" not in str(caught.value)
