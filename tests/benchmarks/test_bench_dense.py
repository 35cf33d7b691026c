"""The dense implementation of the reference: equal to goldens c and d, and to the plain NumPy reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_benchmarks.dense import DenseAttention, DenseResult, dense_mask, use_threads
from fgvc_benchmarks.geometry import Geometry, window_pairs
from fgvc_benchmarks.inputs import feature_frames, label_frames
from fgvc_benchmarks.subjects.dense_propagation import DensePropagation
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.propagation.features import unit_features
from fgvc_kernels.reference import AttentionOptions, attend, check_matches, radius_of_range, window_mask

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
# Float32 on both sides; the reference agrees with its own float64 restatement to 2e-6 (goldens, "Independent check").
BUDGET = 2e-6
CASES = ("circle30", "circle8", "square9", "nomask", "fewkeys", "dupfirst", "circle8_step512", "batch2")


def run_golden(golden: Mapping[str, NDArray[Any]], case: str) -> tuple[DenseResult, NDArray[np.float32]]:
    """Our result, and the golden's output as [H*W, P]; of a batch the first element."""
    meta = json.loads(str(golden[f"{case}.meta"]))
    query, keys, labels = (np.moveaxis(golden[f"{case}.{name}"][0], 0, -1) for name in "qkv")
    hw = (query.shape[0], query.shape[1])
    mask = None
    if meta.get("mask_mode") or "radius" in meta:
        radius = meta["radius"] if "radius" in meta else radius_of_range(meta["neighbor_range"])
        mask = dense_mask(hw, Window(meta.get("mask_mode", "circle"), radius))
    attention = DenseAttention(mask, meta["topk"], meta["temperature"], meta["step"])
    expected = np.moveaxis(golden[f"{case}.out"][0], 0, -1)
    found = attention(query, keys, labels.reshape(len(keys), -1, labels.shape[-1]))
    return found, expected.reshape(-1, expected.shape[-1])


@pytest.mark.parametrize("case", [*(f"eff.{name}" for name in CASES), "v2.r4", "v2.r15"])
def test_equal_to_goldens(case: str, goldens: Goldens, parity: Parity) -> None:
    found, expected = run_golden(goldens("c_attention"), case)
    difference = np.abs(found.labels - expected).max()
    parity(group="c", case=f"dense {case}", value=difference, budget=BUDGET, unit="label", note="benchmark baseline")


@pytest.mark.parametrize("tag", ["circle30_20x24", "circle8_9x13", "circle4_6x7", "square9_9x13"])
def test_mask_is_the_reference_one(tag: str, goldens: Goldens) -> None:
    golden = goldens("d_spatial_neighbor")
    shape, reach = tag.split("_")[0][:6], int(tag.split("_")[0][6:])
    height, width = map(int, tag.split("_")[1].split("x"))
    size = height * width
    expected = np.unpackbits(golden[tag])[: size * size].reshape(size, size).astype(bool)
    window = Window("circle" if shape == "circle" else "square", radius_of_range(reach))
    np.testing.assert_array_equal(dense_mask((height, width), window).numpy(), expected)


def test_pairs_counted_are_those_of_the_mask() -> None:
    for window in (Window("circle", 4), Window("circle", 2.5), Window("square", 3), Window("circle", 40.0)):
        assert window_pairs((9, 13), window) == int(dense_mask((9, 13), window).sum())


def test_useful_work_of_the_reference_geometry() -> None:
    geometry = Geometry("reference", 128, 128, 256, 15.0)
    assert geometry.useful_gflop() == pytest.approx(31.7, abs=0.05)
    assert geometry.dense_gflop() == pytest.approx(825, abs=1)


def test_equal_to_the_plain_reference_on_an_odd_grid() -> None:
    geometry = Geometry("odd", 11, 17, 20, 3.7, frames=3)
    *keys, query = feature_frames(geometry)
    labels = np.stack(label_frames(geometry, 4))
    found = DenseAttention(dense_mask(geometry.hw, geometry.window), 10, 0.07, step=50)(query, np.stack(keys), labels)
    mask = window_mask(geometry.hw, "circle", 3.7)
    expected = attend(query, np.stack(keys), labels.reshape(3, 11, 17, 4), mask, AttentionOptions())
    np.testing.assert_allclose(found.labels, expected.reshape(-1, 4), rtol=0, atol=BUDGET)
    unit = [unit_features(frame).unit for frame in (query, *keys)]
    check_matches(found.scores, found.positions, unit[0], unit[1:], geometry.hw, "circle", 3.7, 10)


def test_the_subject_checks_itself_and_its_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    params = {"geometry": {"name": "t", "height": 9, "width": 12, "channels": 16, "radius": 3.0}, "points": 2}
    subject = DensePropagation(params, 1)
    assert all(figure.passed for figure in subject.check())
    assert subject.run().wall_s > 0
    right = subject._attend

    def wrong(*parts: Any) -> DenseResult:
        result = right(*parts)
        return result._replace(labels=result.labels + np.float32(1e-5))

    monkeypatch.setattr(subject, "_attend", wrong)
    assert not all(figure.passed for figure in subject.check())
    use_threads(threads)
