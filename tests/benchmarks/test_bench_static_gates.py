"""The page of static figures and its model: arithmetic checked by hand, and docs/static-gates.md is up to date."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from fgvc_benchmarks import static_gates
from fgvc_benchmarks.geometry import Geometry
from fgvc_benchmarks.roofline import Work, matching_work, propagation_work, shortest_ms
from fgvc_deploy.cli.app import app
from fgvc_kernels.aot.chips import CHIPS, Product

CONSTANTS = {"TILE_Y": 8, "TILE_X": 8, "BLOCK": 32, "PADDED_C": 64, "K": 10}


def test_the_page_is_that_of_the_baseline() -> None:
    assert static_gates.PAGE.read_text(encoding="utf-8") == static_gates.page(), (
        "run `python -m fgvc_benchmarks.static_gates`"
    )


def test_the_command_prints_it_and_measures_nothing() -> None:
    result = CliRunner().invoke(app, ["bench", "kernels", "--static"])
    assert result.exit_code == 0, result.output
    assert "No GPU was used" in result.output
    assert "A model, not a measurement" in result.output
    assert all(f"| {chip} |" in result.output for chip in CHIPS)


def test_matching_operations_are_those_of_a_brute_force_count() -> None:
    """A key is computed for all 64 queries of a tile when any of them may take it, in whole blocks of 32."""
    geometry = Geometry("", 24, 17, 48, 4.0, frames=3)
    dy, dx = np.mgrid[-30:31, -30:31]
    gap_y = np.maximum(np.maximum(-dy, dy - 7), 0)
    gap_x = np.maximum(np.maximum(-dx, dx - 7), 0)
    listed = int(((gap_y**2 + gap_x**2) < 16).sum())
    blocks = -(-listed // 32)
    work = matching_work(geometry, CONSTANTS)
    assert work.computed_gflop == pytest.approx(2e-9 * (3 * 3) * 64 * blocks * 32 * 3 * 64)
    assert work.useful_gflop == geometry.useful_gflop() < work.computed_gflop
    assert work.dram_mb == pytest.approx((4 * 24 * 17 * 48 * 2 + 24 * 17 * 10 * 8) / 1e6)
    assert work.l2_mb > work.dram_mb


def test_propagation_reads_k_rows_and_writes_one() -> None:
    work = propagation_work(Geometry("", 10, 10, 16, 3.0, frames=2), channels=4)
    assert work.useful_gflop == pytest.approx(2e-9 * 100 * 10 * 4)
    assert work.l2_mb == pytest.approx((100 * 10 * 8 + 11 * 100 * 4 * 4) / 1e6)


def test_the_bound_is_the_larger_of_two() -> None:
    product = Product("", tflops=100.0, dram_gbs=1000.0, source="")
    assert shortest_ms(Work(1.0, 200.0, 500.0, 900.0, True), product) == (2.0, "compute")
    assert shortest_ms(Work(1.0, 20.0, 500.0, 900.0, True), product) == (0.5, "memory")
    assert shortest_ms(Work(1.0, 2000.0, 500.0, 900.0, False), product) == (0.5, "memory")
