"""Native matching against the reference checker, for every instruction set this CPU has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels import native
from fgvc_kernels.reference import check_matches, unit_rows

AVAILABLE, REASON = native.available()
if not AVAILABLE and os.environ.get("FGVC_REQUIRE_NATIVE") == "1":
    raise RuntimeError(REASON)
pytestmark = pytest.mark.skipif(not AVAILABLE, reason=REASON)

ISAS = native.isas() if AVAILABLE else ()
SCREENING = [isa for isa in ISAS if native.screens(isa)]
# fp32 summation order: C roundings of 2**-24 on sums of at most 1; 1e-6 is the worst seen over C <= 256, doubled.
TOLERANCE = 1e-6

F32 = NDArray[np.float32]


class Case(NamedTuple):
    hw: tuple[int, int]
    channels: int
    n_keys: int
    shape: Literal["circle", "square"]
    radius: float
    topk: int


CASES = [
    Case((13, 17), 16, 3, "circle", 4.5, 10),
    Case((16, 16), 64, 6, "circle", 7.5, 10),
    Case((20, 33), 96, 2, "circle", 7.5, 10),
    Case((9, 21), 256, 2, "circle", 15.0, 32),
    Case((1, 37), 24, 4, "circle", 3.0, 1),
    Case((37, 1), 24, 4, "square", 3.0, 10),
    Case((1, 1), 8, 1, "circle", 1.0, 10),
    Case((7, 9), 8, 21, "circle", 0.5, 10),
    Case((12, 11), 40, 1, "circle", 100.0, 32),
    Case((12, 11), 40, 2, "square", 99.5, 10),
    Case((18, 19), 64, 3, "square", 2.0, 10),
    Case((33, 18), 104, 2, "circle", 15.0, 10),
]


def random_units(rng: np.random.Generator, case: Case) -> tuple[F32, list[F32]]:
    """Non-negative features with a common part, like those of a ReLU encoder: scores are close to each other."""
    pixels = case.hw[0] * case.hw[1]
    base = rng.random(case.channels) + 0.5
    raw = np.maximum(base + 0.6 * rng.standard_normal((case.n_keys + 1, pixels, case.channels)), 0)
    units = [unit_rows(frame).astype(np.float32) for frame in raw]
    return units[0], units[1:]


def run(
    case: Case,
    query: F32,
    keys: Sequence[F32],
    isa: str,
    *,
    screened: bool = False,
    centred: bool = True,
    threads: int = 1,
    active: NDArray[np.bool_] | None = None,
) -> native.NativeMatches:
    halves = None
    if screened:
        centre = query.mean(0) if centred else np.zeros(case.channels, np.float32)
        halves = (native.halve(query, centre, isa=isa), [native.halve(key, centre, isa=isa) for key in keys])
    return native.match(
        query,
        keys,
        case.hw,
        radius=case.radius,
        window=case.shape,
        topk=case.topk,
        halves=halves,
        active=active,
        threads=threads,
        isa=isa,
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fp32_against_reference(case: Case, isa: str, rng: np.random.Generator) -> None:
    query, keys = random_units(rng, case)
    found = run(case, query, keys, isa)
    check_matches(
        found.scores, found.positions, query, keys, case.hw, case.shape, case.radius, case.topk, tolerance=TOLERANCE
    )


@pytest.mark.parametrize("isa", SCREENING)
@pytest.mark.parametrize("centred", [True, False], ids=["centred", "plain"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_screening_changes_no_bit(case: Case, centred: bool, isa: str, rng: np.random.Generator) -> None:
    query, keys = random_units(rng, case)
    plain = run(case, query, keys, isa)
    screened = run(case, query, keys, isa, screened=True, centred=centred)
    np.testing.assert_array_equal(screened.scores, plain.scores)
    check_matches(
        screened.scores, screened.positions, query, keys, case.hw, case.shape, case.radius, case.topk,
        tolerance=TOLERANCE,
    )  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
