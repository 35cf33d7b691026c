"""The run time against the kernels themselves: names, parameters, constants, grids, offset tables, machine code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fgvc_deploy.gpu.cubins.metadata import parse_metadata
from fgvc_deploy.gpu.device.driver import Grid
from fgvc_deploy.gpu.launches import plans, readout_plans
from fgvc_deploy.gpu.launches.offsets import distance_limit, offset_table
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_kernel_table import kernel_table

pytest.importorskip("triton")

CHANNELS, STRIDE = 80, 4
TILES = {"TILE_Y", "TILE_X", "BLOCK", "PIXELS", "CHANNELS", "ROWS", "CELLS", "CHUNK", "ROUNDS", "PARTS"}
USED = kernel_table(EncoderSettings(arch="toy", stride=STRIDE, channels=CHANNELS), PropagationSettings())


def _variants() -> dict[str, Any]:
    from fgvc_kernels.triton.table import Build, variants

    return {variant.name: variant for variant in variants(Build(channels=CHANNELS, stride=STRIDE))}


@pytest.mark.parametrize("name", USED)
def test_the_emulated_kernels_are_called_like_the_real_ones(name: str) -> None:
    """Parameters in order with their types and alignment, and the constants that settings decide."""
    variant = _variants()[name]
    parameters, constants = USED[name]
    assert [(p.name, p.kind, p.divisible_by) for p in variant.params] == parameters
    assert set(variant.constexprs) == set(constants)
    settings = {k: v for k, v in constants.items() if k not in TILES}
    assert {k: v for k, v in variant.constexprs.items() if k in settings} == settings


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("radius", [0.5, 1.0, 4.0, 7.5, 15.0, 500.0])
@pytest.mark.parametrize("hw", [(1, 1), (9, 13), (64, 3), (60, 107)])
def test_offset_tables_agree(shape: Any, radius: float, hw: tuple[int, int]) -> None:
    from fgvc_kernels.triton import offsets

    window = Window(shape, radius)
    assert distance_limit(window, hw) == offsets.distance_limit(shape, radius, hw)
    np.testing.assert_array_equal(
        offset_table(window, hw, (8, 8), 32), offsets.offset_table(shape, radius, hw, (8, 8), 32)
    )


def _grids() -> Iterator[tuple[Grid, tuple[int, ...]]]:
    from fgvc_kernels.triton import (
        argmax_masks_launch,
        label_mass,
        local_topk,
        merge_topk,
        normalise,
        pool_cells,
        propagate,
        readout_bounds,
        refine,
    )

    for hw in ((1, 1), (9, 13), (64, 107)):
        pixels = hw[0] * hw[1]
        yield plans.local_topk_grid(hw, 3, (8, 8)), local_topk.local_topk_grid(hw, 3, (8, 8))
        rows = merge_topk.CONFIG.tiles["ROWS"]
        yield plans.merge_grid(pixels, rows), merge_topk.merge_topk_grid(pixels)
        yield plans.normalise_grid(pixels, normalise.CONFIG.tiles["PIXELS"]), normalise.normalise_grid(pixels)
        for scale in (2, 4):
            yield plans.refine_grid(hw, 3, scale), refine.refine_grid(hw, 3, scale)
            cells = -(-hw[0] // scale) * -(-hw[1] // scale)
            yield plans.pool_cells_grid(hw, scale, 16), pool_cells.pool_cells_grid(cells)
        tiles = propagate.CONFIG.tiles
        for channels in (1, 16, 17):
            yield (
                plans.propagate_grid(pixels, channels, (tiles["PIXELS"], tiles["CHANNELS"])),
                propagate.propagate_grid(pixels, channels),
            )
            cells, maps = readout_bounds.CONFIG.tiles["CELLS"], readout_bounds.CONFIG.tiles["CHANNELS"]
            yield (
                readout_plans.bounds_grid(hw, channels, cells, maps),
                readout_bounds.readout_bounds_grid(hw, channels),
            )
            yield readout_plans.mass_grid(pixels, channels, 1024, 16), label_mass.label_mass_grid(pixels, channels)
        yield Grid(readout_plans.mask_tiles(hw, (16, 32))), argmax_masks_launch.argmax_masks_grid(hw)


def test_grids_agree_with_the_launchers() -> None:
    for mine, theirs in _grids():
        assert tuple(mine) == (*theirs, *(1,) * (3 - len(theirs)))


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["sm_87", "sm_90", "sm_120"])
def test_packing_against_the_cubins_own_parameter_table(chip: str) -> None:
    """Compiled for real: the table in the machine code is where arguments are put."""
    from fgvc_kernels.aot.build import KernelBuild, compile_kernel
    from fgvc_kernels.aot.chips import CHIPS
    from fgvc_kernels.aot.machine_code import read_cubin
    from fgvc_kernels.aot.metadata import describe

    for name in ("normalise", "propagate", "readout_bounds"):
        compiled = compile_kernel(KernelBuild.of(_variants()[name]), CHIPS[chip])
        metadata = parse_metadata(describe(compiled).to_json(), name)
        table = read_cubin(compiled.cubin, compiled.symbol).parameters
        assert metadata.layout == tuple((p.offset, p.size) for p in table)
        assert [(p.name, p.type, p.divisible_by) for p in metadata.params] == USED[name][0]
