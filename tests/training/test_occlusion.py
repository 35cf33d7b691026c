"""Visibility from flow against goldens h, and the corrected estimates on motions whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fgvc_training.occlusion import range_map, visible_by_consistency, visible_by_difference, visible_by_range_map
from fgvc_training.quirks import Quirks

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
REFERENCE = Quirks.reference()


def channels_first(flow: NDArray[Any]) -> Tensor:
    return torch.from_numpy(flow).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("direction", ["fw", "bw"])
@pytest.mark.parametrize("estimate", ["consistency", "fb_abs", "range_map"])
def test_matches_reference(goldens: Goldens, parity: Callable[..., None], estimate: str, direction: str) -> None:
    h = goldens("h_training")
    flow, flow_back = channels_first(h["flow"]), channels_first(h["flow_back"])
    if direction == "bw":
        flow, flow_back = flow_back, flow
    visible = {
        "consistency": lambda: visible_by_consistency(flow, flow_back, REFERENCE),
        "fb_abs": lambda: visible_by_difference(flow, flow_back, REFERENCE),
        "range_map": lambda: visible_by_range_map(flow_back, REFERENCE),
    }[estimate]()
    expected = h[f"occ.{estimate}.{direction}"][:, 0].astype(bool)
    wrong = int((visible.numpy() != expected).sum())
    parity(group="h", case=f"occ.{estimate}.{direction}", value=wrong, budget=0, unit="pixels")


def constant_flow(x: float, y: float, hw: tuple[int, int] = (12, 20)) -> Tensor:
    return torch.tensor((x, y)).reshape(1, 2, 1, 1).expand(1, 2, *hw).contiguous()


@pytest.mark.parametrize(("x", "y"), [(3.0, 2.0), (-3.0, -2.0), (-7.5, 0.0), (0.0, 4.25)])
def test_translation_hides_only_what_leaves_the_image(x: float, y: float) -> None:
    flow, flow_back = constant_flow(x, y), constant_flow(-x, -y)
    height, width = flow.shape[-2:]
    column = torch.arange(width) + x
    row = torch.arange(height) + y
    stays = ((row >= 0) & (row <= height - 1))[:, None] & ((column >= 0) & (column <= width - 1))
    assert torch.equal(visible_by_consistency(flow, flow_back)[0], stays)
    assert torch.equal(visible_by_difference(flow, flow_back)[0], stays)


def test_leftward_motion_is_judged_like_rightward() -> None:
    """|f + b|^2 = 1.21: within the corrected 0.5 + 0.01 (72 + 86), above the published 0.5 + 0.01 (86 - 24)."""
    flow, flow_back = constant_flow(-6.0, -6.0, (24, 24)), constant_flow(7.1, 6.0, (24, 24))
    inner = (0, slice(8, -8), slice(8, -8))
    assert visible_by_consistency(flow, flow_back)[inner].all()
    assert visible_by_consistency(-flow, -flow_back)[inner].all()
    assert not visible_by_consistency(flow, flow_back, Quirks(doubled_flow_in_occlusion=True))[inner].any()


def test_covered_background_is_hidden() -> None:
    """A block moves 4 px right over a still background: the pixels it uncovers have no partner in the other frame."""
    flow, flow_back = torch.zeros(1, 2, 16, 24), torch.zeros(1, 2, 16, 24)
    flow[:, 0, 4:12, 4:12] = 4.0
    flow_back[:, 0, 4:12, 8:16] = -4.0
    for visible in (visible_by_consistency(flow, flow_back), visible_by_difference(flow, flow_back)):
        assert visible[0, 4:12, 4:12].all()
        assert not visible[0, 4:12, 12:16].any()
        assert visible[0, :4].all()
    # Seen from the other frame: nothing lands on the columns the block has left.
    assert not visible_by_range_map(flow)[0, 4:12, 4:8].any()


def test_range_map_keeps_mass_and_survives_magnification() -> None:
    x = torch.arange(24.0).expand(16, 24) * 0.2
    flow = torch.stack((x, torch.zeros_like(x)))[None]
    mass = range_map(flow)
    landed = (torch.arange(24.0) * 1.2 <= 23).sum() * 16
    assert float(mass.sum()) <= float(landed) + 16
    assert visible_by_range_map(flow)[0, :, 1:20].all()
    assert not visible_by_range_map(flow, REFERENCE)[0, :, 1:20].all()


def test_exact_identity_is_visible_everywhere() -> None:
    still = torch.zeros(1, 2, 7, 5)
    for visible in (
        visible_by_consistency(still, still),
        visible_by_difference(still, still),
        visible_by_range_map(still),
        visible_by_range_map(still, REFERENCE),
    ):
        assert visible.all()
    assert np.array_equal(range_map(still)[0].numpy(), np.ones((7, 5), np.float32))
