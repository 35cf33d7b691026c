"""`normalise` and `pool_cells`: from the engine's output to unit vectors, fine and coarse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fgvc_kernels.reference.affinity import unit_rows
from fgvc_kernels.reference.pooled_search import pool_cells
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.normalise import launch_normalise, normalise_reference
from fgvc_kernels.triton.pool_cells import launch_pool_cells, pool_cells_reference

Frames = Callable[..., torch.Tensor]
# A value below 1 that is rounded once: half a unit in the last place, and one more where two roundings meet.
TOLERANCES = {torch.float32: 2e-7, torch.float16: 5e-4, torch.bfloat16: 4e-3}


def raw(channels: int, hw: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (3 * torch.randn((channels, *hw), generator=generator)).to(dtype)


@pytest.mark.parametrize("out", list(TOLERANCES))
@pytest.mark.parametrize("encoder", [torch.float32, torch.float16])
@pytest.mark.parametrize(("channels", "hw"), [(16, (5, 7)), (48, (1, 33)), (32, (1, 1))])
def test_unit_vectors(out: torch.dtype, encoder: torch.dtype, channels: int, hw: tuple[int, int]) -> None:
    features = raw(channels, hw, encoder)
    found = launch_normalise(features, dtype=out)
    expected = torch.from_numpy(unit_rows(features.double().flatten(1).T.numpy()))
    assert found.shape == (hw[0] * hw[1], channels)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=TOLERANCES[out])
    torch.testing.assert_close(found, normalise_reference(features, out), rtol=0, atol=TOLERANCES[out])


def test_a_pixel_of_zeros_stays_zero() -> None:
    features = raw(16, (2, 3), torch.float32)
    features[:, 1, 1] = 0
    found = launch_normalise(features, dtype=torch.float32)
    assert (found[4] == 0).all()
    torch.testing.assert_close(found[5].norm(), torch.tensor(1.0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_broken_pixel_cannot_be_matched(bad: float) -> None:
    """NaN somewhere in its row makes every product with it NaN; its neighbours are as they were."""
    features = raw(16, (2, 3), torch.float32)
    whole = launch_normalise(features, dtype=torch.float16)
    features[5, 1, 1] = bad
    found = launch_normalise(features, dtype=torch.float16)
    assert found[4].isnan().any()
    assert torch.equal(found[[0, 1, 2, 3, 5]], whole[[0, 1, 2, 3, 5]])


def test_writes_into_the_ring() -> None:
    ring = torch.empty((3, 6, 16), dtype=torch.float16)
    launch_normalise(raw(16, (2, 3), torch.float32), out=ring[1])
    assert ring[0].isnan().all()
    assert not ring[1].isnan().any()
    assert ring[2].isnan().all()


def test_refusals() -> None:
    with pytest.raises(KernelArgumentError, match="multiple of 16"):
        launch_normalise(torch.zeros(20, 2, 2))
    with pytest.raises(KernelArgumentError, match="`features` must be"):
        launch_normalise(torch.zeros(16, 4))
    with pytest.raises(KernelArgumentError, match="do not fit 32-bit"):
        launch_normalise(torch.zeros(16, 0, 4))


@pytest.mark.parametrize(("hw", "scale"), [((8, 8), 4), ((5, 7), 2), ((9, 10), 4), ((1, 6), 3), ((2, 2), 16)])
def test_coarse_cells(frames: Frames, hw: tuple[int, int], scale: int) -> None:
    """Cells that the border cuts, and a map smaller than a cell."""
    fine = frames(1, 1, hw, dtype="float32")[0]
    found = launch_pool_cells(fine, hw, scale=scale)
    expected = pool_cells(fine.double().reshape(*hw, -1).numpy(), scale).reshape(found.shape)
    # Sums of up to 64 fp32 numbers of size 0.3 and one division.
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, pool_cells_reference(fine, hw, scale), rtol=0, atol=1e-6)


def test_coarse_cells_of_halves(frames: Frames) -> None:
    fine = frames(2, 1, (5, 6))[0]
    found = launch_pool_cells(fine, (5, 6), scale=2)
    torch.testing.assert_close(found, pool_cells_reference(fine, (5, 6), 2), rtol=0, atol=5e-4)


def test_coarse_refusals(frames: Frames) -> None:
    with pytest.raises(KernelArgumentError, match="2 to 16 pixels wide"):
        launch_pool_cells(frames(3, 1, (4, 4))[0], (4, 4), scale=1)
