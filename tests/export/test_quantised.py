"""Precision int8: a quarter of the bytes, near the original, and stopped by its own budgets when it is not."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from fgvc_deploy.encoders.onnxruntime import OnnxRuntimeEncoder
from fgvc_deploy.errors import ParityError
from fgvc_deploy.settings import PreprocessSettings, PropagationSettings
from fgvc_export.budgets import BUDGETS, enforce, judge
from fgvc_export.clip import load_clip
from fgvc_export.parity import Setup, network_frames, worst_cosine
from fgvc_export.quantised import quantise
from fgvc_export.targets import chosen_targets
from toy_encoder import SETTINGS, toy_onnx

FRAMES = [np.random.default_rng(seed).standard_normal((1, 3, 64, 80), dtype=np.float32) for seed in range(3)]


@pytest.fixture(scope="module")
def model() -> bytes:
    return quantise(toy_onnx(), FRAMES)


def test_it_computes_nearly_the_same_at_any_size(model: bytes) -> None:
    ours, theirs = OnnxRuntimeEncoder(model, SETTINGS), OnnxRuntimeEncoder(toy_onnx(), SETTINGS)
    for hw in ((64, 80), (33, 47)):
        x = np.random.default_rng(9).standard_normal((1, 3, *hw), dtype=np.float32)
        cosine = worst_cosine(ours.encode(x).astype(np.float64), theirs.encode(x).astype(np.float64))
        # Two layers of 7-bit weights and 8-bit activations.
        assert 0.99 < cosine < 1 - 1e-7


def weights(model: bytes) -> list[NDArray[np.int8]]:
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(model).graph.initializer]
    return [array for array in arrays if array.ndim == 4]


def test_weights_are_seven_bits_in_int8(model: bytes) -> None:
    """Eight overflow on processors without VNNI, and the figures of the export would not hold there."""
    assert len(weights(model)) == 2
    for array in weights(model):
        assert array.dtype == np.int8
        assert 50 < np.abs(array.astype(int)).max() <= 64


def test_the_same_frames_give_the_same_bytes(model: bytes) -> None:
    assert quantise(toy_onnx(), FRAMES) == model
    assert quantise(toy_onnx(), [frame * 3 for frame in FRAMES]) != model


def test_logging_and_terminal_are_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    quantise(toy_onnx(), FRAMES)
    assert (root.handlers, root.level, logging.root.manager.disable) == (handlers, level, logging.NOTSET)
    assert capfd.readouterr() == ("", "")


def test_the_name_on_the_command_line() -> None:
    both = chosen_targets(("onnx", "onnx:int8", "propagation"), "fp32")
    assert [str(choice) for choice in both] == ["onnx", "onnx:int8", "propagation"]
    assert [choice.row.file_name[choice.precision] for choice in both][:2] == ["encoder.onnx", "encoder.int8.onnx"]
    assert [str(choice) for choice in chosen_targets(("onnx", "propagation"), "int8")] == ["onnx:int8", "propagation"]


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_lower_precisions_have_budgets_of_their_own_and_are_stopped_by_them(precision: str) -> None:
    for name in ("feature_cosine_min", "feature_error_max", "track_p95", "track_max"):
        row = BUDGETS[name]
        strict, loose = row.value["fp32"], row.value[precision]
        assert (loose < strict) == (row.limit == "at_least")
    figures = [judge("track_p95", precision, 0.99, ""), judge("track_p95", precision, 1.01, "")]
    enforce("The export", figures[:1])
    with pytest.raises(ParityError, match=r"track_p95 is 1\.01 px where at most 1 is allowed"):
        enforce("The export", figures)


def test_calibration_sees_the_clip_as_the_tracker_does() -> None:
    setup = Setup(SETTINGS, PreprocessSettings(), PropagationSettings(), "short:64")
    clip = load_clip(None)
    assert [frame.shape for frame in network_frames(clip, setup)] == [(1, 3, 96, 128)] * 6
    from_video = type(clip)("a video", clip.frames, None)
    assert {frame.shape for frame in network_frames(from_video, setup)} == {(1, 3, 64, 85)}
