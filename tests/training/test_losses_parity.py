"""Soft labels, valid pixels and soft cross entropy against goldens h."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fgvc_training.encoder.resnet import ResNet18D1
from fgvc_training.encoder.untrained import recipe_state
from fgvc_training.losses.soft_label import (
    flow_on_features,
    gaussian_labels,
    gaussian_valid_pixels,
    soft_cross_entropy,
    teacher_logits,
    valid_pixels,
)
from fgvc_training.occlusion import visible_by_consistency
from fgvc_training.quirks import Quirks

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
REFERENCE = Quirks.reference()


@pytest.fixture(scope="module")
def teacher_features(goldens: Goldens) -> Tensor:
    teacher = ResNet18D1().eval()
    teacher.load_state_dict(recipe_state(teacher, "teacher."))
    with torch.no_grad():
        features: Tensor = teacher(torch.from_numpy(goldens("h_training")["imgs_sup"])[:, 0, 0])
    return features


def golden_flow(goldens: Goldens) -> tuple[Tensor, Tensor]:
    """Flow in feature pixels and visibility on the feature grid, as published."""
    h = goldens("h_training")
    flow, flow_back = (torch.from_numpy(h[name]).permute(0, 3, 1, 2) for name in ("flow", "flow_back"))
    return flow_on_features(flow, 2), visible_by_consistency(flow, flow_back, REFERENCE)[:, ::2, ::2]


def test_teacher_features_match(goldens: Goldens, parity: Parity, teacher_features: Tensor) -> None:
    error = np.abs(teacher_features[:1].numpy() - goldens("h_training")["teacher_feat0"]).max()
    # Ten float32 convolutions; values up to 10.
    parity(group="h", case="teacher_feat0", value=error, budget=4e-5, unit="feature")


@pytest.mark.parametrize("radius", [24, 6])
def test_soft_labels_match(goldens: Goldens, parity: Parity, teacher_features: Tensor, radius: int) -> None:
    h = goldens("h_training")
    flow, _ = golden_flow(goldens)
    step = int(h[f"r{radius}.row_step"])

    def relative_error(labels: Tensor, golden: str) -> float:
        expected = h[f"r{radius}.{golden}"]
        rows = labels.flatten(1, 2)[:, ::step].numpy()
        return float(np.abs(rows - expected).max() / np.abs(expected).max())

    logits = teacher_logits(teacher_features, flow, radius, 0.07, REFERENCE)
    # Logits go up to 455 after division by 0.07: sums of 256 float32 products agree to a few 1e-6 of that.
    parity(
        group="h",
        case=f"r{radius}.selfatt_rows",
        value=relative_error(logits, "selfatt_rows"),
        budget=4e-6,
        unit="of maximum",
    )
    gaussian = relative_error(gaussian_labels(flow, radius, 6.0), "gauss_rows")
    parity(group="h", case=f"r{radius}.gauss_rows", value=gaussian, budget=2e-7, unit="of maximum")


@pytest.mark.parametrize("radius", [24, 6])
def test_valid_pixels_match(goldens: Goldens, parity: Parity, radius: int) -> None:
    h = goldens("h_training")
    flow, visible = golden_flow(goldens)
    for golden, valid in (
        ("valid", valid_pixels(flow, visible, radius, targets_outside_image=True)),
        ("valid_gauss", gaussian_valid_pixels(flow, visible, radius)),
    ):
        wrong = int((valid.flatten().numpy() != h[f"r{radius}.{golden}"]).sum())
        parity(group="h", case=f"r{radius}.{golden}", value=wrong, budget=0, unit="pixels")


def test_soft_cross_entropy_matches(goldens: Goldens, parity: Parity) -> None:
    h = goldens("h_training")
    values = soft_cross_entropy(torch.from_numpy(h["softce.pred"]), torch.from_numpy(h["softce.target_logits"]))
    # One float32 rounding step of a value near 5.6 is 5e-7.
    parity(group="h", case="softce.loss", value=abs(float(values.mean()) - h["softce.loss"]), budget=1e-6, unit="nat")
