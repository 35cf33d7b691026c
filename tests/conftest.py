"""Fixtures shared by all tests: goldens, data, and the parity ledger that docs/parity.md is written from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
REQUIRED = os.environ.get("FGVC_REQUIRE_GOLDENS") == "1"
Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]


def _shared_folder(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name)).resolve()
    if not folder.is_dir():
        message = f"no folder {folder}: set {variable} to the folder that holds the {name}"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    return folder


@cache
def _load_npz(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that record a parity figure get the marker `parity`, so that `-m parity` runs just those."""
    for item in items:
        if "parity" in getattr(item, "fixturenames", ()):
            item.add_marker("parity")


@pytest.fixture(scope="session")
def goldens_dir() -> Path:
    return _shared_folder("FGVC_GOLDENS", "goldens")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    return _shared_folder("FGVC_DATA", "data")


@pytest.fixture(scope="session")
def goldens(goldens_dir: Path) -> Goldens:
    """`goldens("c_attention")` is the content of c_attention.npz, read once."""
    return lambda name: _load_npz(goldens_dir / f"{name}.npz")


@pytest.fixture(scope="session")
def _parity_rows() -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    yield rows
    target = os.environ.get("FGVC_PARITY_OUT")
    if target:
        Path(target).write_text(json.dumps(rows, indent=1), encoding="utf-8")


@pytest.fixture
def parity(_parity_rows: list[dict[str, Any]], request: pytest.FixtureRequest) -> Parity:
    """Record one comparison with the reference and fail when it is over its budget."""

    def record(*, group: str, case: str, value: float, budget: float, unit: str, note: str = "") -> None:
        row = {"group": group, "case": case, "value": float(value), "budget": budget, "unit": unit}
        _parity_rows.append(row | {"note": note, "test": request.node.nodeid})
        assert value <= budget, f"{group}/{case}: {value:.3g} {unit} is over the budget of {budget:.3g}"

    return record
