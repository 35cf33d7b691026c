"""The mask kernels against the runtime's own read-out, pixel for pixel."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_deploy.readout.masks import FAINT as RUNTIME_FAINT
from fgvc_deploy.readout.masks import read_masks
from fgvc_kernels.triton.argmax_masks import FAINT
from fgvc_kernels.triton.argmax_masks_launch import argmax_masks_reference, launch_argmax_masks
from fgvc_kernels.triton.errors import KernelArgumentError

IDS = np.array([0, 3, 7, 200], np.uint8)


def soft_masks(hw: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """Four classes [h * w, 4]: strong, weak, faint (below the limit) and absent."""
    rng = np.random.default_rng(seed)
    labels = rng.random((hw[0] * hw[1], 4)).astype(np.float32) ** 4
    labels *= np.array([1, 0.3, 0.04, 0], np.float32)
    return labels


@pytest.mark.parametrize("compat", ["corrected", "reference"])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(
    ("feature_hw", "network_hw", "out_hw"),
    [
        ((9, 20), (18, 40), (18, 40)),
        ((7, 6), (13, 11), (20, 35)),
        ((1, 5), (2, 10), (1, 9)),
        ((3, 3), (6, 6), (4, 3)),
    ],
)
def test_masks_are_the_runtimes(
    feature_hw: tuple[int, int],
    network_hw: tuple[int, int],
    out_hw: tuple[int, int],
    normalise: bool,
    compat: Literal["corrected", "reference"],
) -> None:
    """Several tiles and parts of tiles, sizes other than the network's, every class of strength."""
    labels = soft_masks(feature_hw)
    expected = read_masks(labels, IDS, feature_hw, out_hw, 2, network_hw, compat, normalise)
    given: Any = (torch.from_numpy(labels), torch.from_numpy(IDS), feature_hw, out_hw, network_hw)
    settings: dict[str, Any] = {"reference": compat == "reference", "normalise": normalise}
    np.testing.assert_array_equal(launch_argmax_masks(*given, **settings).numpy(), expected)
    np.testing.assert_array_equal(argmax_masks_reference(*given, **settings).numpy(), expected)


def test_the_first_class_wins_ties() -> None:
    labels = torch.full((6, 3), 0.5)
    ids = torch.tensor([9, 4, 2], dtype=torch.uint8)
    assert (launch_argmax_masks(labels, ids, (2, 3), (4, 6), (4, 6), normalise=False) == 9).all()


def test_nothing_left_is_the_first_class() -> None:
    """Every class has faded: the runtime answers with the first id, the background."""
    labels, ids = torch.full((6, 2), 0.01), torch.tensor([5, 4], dtype=torch.uint8)
    assert (launch_argmax_masks(labels, ids, (2, 3), (4, 6), (4, 6)) == 5).all()
    assert FAINT == RUNTIME_FAINT


def test_refusals() -> None:
    with pytest.raises(KernelArgumentError, match="`ids` must be uint8"):
        launch_argmax_masks(torch.zeros(6, 2), torch.zeros(2), (2, 3), (4, 6), (4, 6))
    with pytest.raises(KernelArgumentError, match="`labels` must be"):
        launch_argmax_masks(torch.zeros(6, 2), torch.zeros(2, dtype=torch.uint8), (2, 2), (4, 6), (4, 6))
