"""Losses of the edge encoder against their definitions, and that they pull features the right way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fgvc_training.edge.attention import circle_logits, gather_pixels, raster_to_xy
from fgvc_training.edge.losses import bilinear_labels, cycle_loss, identity_loss, matching_loss
from fgvc_training.edge.module import near_border


def test_gathered_pixels_are_those_of_the_raster() -> None:
    maps = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    chosen = torch.tensor([[0, 7], [19, 6]])
    assert torch.equal(gather_pixels(maps, chosen)[0, 1], maps[0, :, 1, 2])
    assert torch.equal(gather_pixels(maps, chosen)[1, 0], maps[1, :, 3, 4])
    assert raster_to_xy(chosen, 5)[0, 1].tolist() == [2.0, 1.0]


def test_circle_logits_are_cosines_inside_and_nothing_outside() -> None:
    keys = F.normalize(torch.randn(1, 8, 5, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    query = gather_pixels(keys, torch.tensor([[14]]))  # x 2, y 2
    logits = circle_logits(query, keys, torch.tensor([[[2.0, 2.0]]]), 1.5, 0.1)[0, 0].reshape(5, 6)
    for y in range(5):
        for x in range(6):
            if (x - 2) ** 2 + (y - 2) ** 2 < 1.5**2:
                expected = float(query[0, 0] @ keys[0, :, y, x]) / 0.1
                assert float(logits[y, x]) == pytest.approx(expected, abs=1e-5)
            else:
                assert float(logits[y, x]) == -math.inf


def test_the_edge_of_the_circle_is_outside() -> None:
    keys = torch.ones(1, 1, 1, 5)
    logits = circle_logits(torch.ones(1, 1, 1), keys, torch.tensor([[[0.0, 0.0]]]), 2.0, 1.0)
    assert torch.isfinite(logits[0, 0]).tolist() == [True, True, False, False, False]


def test_a_query_far_from_all_keys_attends_to_all() -> None:
    logits = circle_logits(torch.ones(1, 1, 1), torch.ones(1, 1, 2, 2), torch.tensor([[[90.0, 0.0]]]), 2.0, 1.0)
    assert torch.isfinite(logits).all()


def test_labels_have_the_target_as_centre_of_mass() -> None:
    targets = torch.tensor([[[1.25, 2.5], [0.0, 0.0], [4.0, 3.0]]])
    labels = bilinear_labels(targets, 4, 5).reshape(3, 4, 5)
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    for label, target in zip(labels, targets[0], strict=True):
        assert float(label.sum()) == pytest.approx(1)
        centre = torch.stack(((label * x).sum(), (label * y).sum()))
        torch.testing.assert_close(centre, target)


def test_matching_loss_is_the_cross_entropy_of_valid_queries() -> None:
    logits = torch.tensor([[[1.0, 2.0, -math.inf], [0.0, 0.0, 0.0]]])
    labels = torch.tensor([[[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]]])
    log_p = logits[0, 0, :2].log_softmax(0)
    expected = -(0.25 * log_p[0] + 0.75 * log_p[1])
    loss = matching_loss(logits, labels, torch.tensor([[True, False]]))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("valid", [True, False])
def test_matching_loss_has_a_finite_gradient(valid: bool) -> None:
    logits = torch.tensor([[[1.0, -math.inf]]], requires_grad=True)
    matching_loss(logits + 0, torch.tensor([[[0.5, 0.5]]]), torch.tensor([[valid]])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_identity_loss_counts_the_mass_on_ones_own_object() -> None:
    logits = torch.tensor([[[1.0, 2.0, 3.0], [0.5, 0.0, -math.inf], [0.0, 0.0, 0.0]]], requires_grad=True)
    key_ids = torch.tensor([[1, 2, 1]])
    query_ids = torch.tensor([[1, 1, -1]])
    first = -math.log((math.exp(1) + math.exp(3)) / (math.exp(1) + math.exp(2) + math.exp(3)))
    second = -math.log(math.exp(0.5) / (math.exp(0.5) + 1))
    loss = identity_loss(logits + 0, query_ids, key_ids)
    assert float(loss.detach()) == pytest.approx((first + second) / 2, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0, 2].any()


def test_identity_loss_leaves_out_what_no_key_can_answer() -> None:
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    loss = identity_loss(logits + 0, torch.tensor([[5, 1]]), torch.tensor([[1, 1]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_cycle_loss_of_a_walk_that_returns_is_zero() -> None:
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    there = 100 * torch.eye(6)[order][None]
    back = there.transpose(1, 2)
    near = torch.eye(6, dtype=torch.bool)
    assert float(cycle_loss(there, back, near)) == pytest.approx(0, abs=1e-6)
    lost = cycle_loss(torch.zeros(1, 6, 6), torch.zeros(1, 6, 6), near)
    assert float(lost) == pytest.approx(math.log(6), rel=1e-5)


def test_borders_are_where_another_id_is_near() -> None:
    ids = np.zeros((9, 9), np.int64)
    ids[:, 6:] = 3
    assert near_border(ids, reach=2)[4].tolist() == [False] * 4 + [True] * 4 + [False]
    assert not near_border(np.full((4, 4), 7)).any()
