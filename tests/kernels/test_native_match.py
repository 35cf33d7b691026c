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
ENGINES = [pytest.param(isa, False, id=f"{isa}-fp32") for isa in ISAS]
ENGINES += [pytest.param(isa, True, id=f"{isa}-bf16") for isa in SCREENING]
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
    Case((10, 19), 512, 1, "circle", 3.5, 5),
    Case((5, 6), 16, 2, "circle", np.inf, 10),
    Case((5, 6), 16, 2, "square", np.inf, 10),
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


@pytest.mark.parametrize("isa", ISAS)
def test_threads_and_slot_order_change_no_bit(isa: str, rng: np.random.Generator) -> None:
    case = Case((30, 41), 24, 4, "circle", 6.5, 10)
    query, keys = random_units(rng, case)
    one = run(case, query, keys, isa)
    for threads in (2, 3):
        other = run(case, query, keys, isa, threads=threads)
        np.testing.assert_array_equal(other.scores, one.scores)
        np.testing.assert_array_equal(other.positions, one.positions)
    np.testing.assert_array_equal(run(case, query, keys[::-1], isa).scores, one.scores)


def test_fused_instruction_sets_agree_to_the_bit(rng: np.random.Generator) -> None:
    case = Case((15, 16), 64, 2, "circle", 7.5, 10)
    query, keys = random_units(rng, case)
    found = [run(case, query, keys, isa).scores for isa in ISAS if isa != "portable"]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize(("isa", "screened"), ENGINES)
def test_inactive_queries_are_empty_and_others_unchanged(isa: str, screened: bool, rng: np.random.Generator) -> None:
    case = Case((21, 26), 32, 3, "circle", 5.0, 10)
    query, keys = random_units(rng, case)
    active = rng.random(21 * 26) < 0.3
    active[: 26 * 9] = False
    everything = run(case, query, keys, isa, screened=screened)
    some = run(case, query, keys, isa, screened=screened, active=active)
    np.testing.assert_array_equal(some.scores[active], everything.scores[active])
    assert np.isneginf(some.scores[~active]).all()
    assert not some.positions[~active].any()
    assert not run(case, query, keys, isa, screened=screened, active=np.zeros(21 * 26, bool)).positions.any()


@pytest.mark.parametrize(("isa", "screened"), ENGINES)
def test_pixels_that_are_not_finite_match_nothing(isa: str, screened: bool, rng: np.random.Generator) -> None:
    case = Case((12, 12), 16, 2, "circle", 3.5, 10)
    query, keys = random_units(rng, case)
    bad_query, bad_key = 40, 55
    query[bad_query, 3] = np.inf
    keys[1][bad_key] = np.nan
    centre_source = np.delete(query, bad_query, axis=0)
    halves = None
    if screened:
        centre = centre_source.mean(0)
        halves = (native.halve(query, centre, isa=isa), [native.halve(key, centre, isa=isa) for key in keys])
    found = native.match(query, keys, case.hw, radius=case.radius, topk=case.topk, halves=halves, isa=isa)
    assert np.isneginf(found.scores[bad_query]).all()
    assert not (found.positions == 144 + bad_key).any()
    assert not np.isnan(found.scores).any()
    rows = [row for row in range(144) if row != bad_query]
    finite_keys = [keys[0], np.where(np.isnan(keys[1]), -9, keys[1])]
    check_matches(
        found.scores, found.positions, query, finite_keys, case.hw, case.shape, case.radius, case.topk,
        tolerance=TOLERANCE, rows=rows,
    )  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
def test_ties_are_each_listed_once(isa: str) -> None:
    case = Case((10, 12), 16, 2, "circle", 2.5, 32)
    unit = np.full((120, 16), 0.25, np.float32)
    found = run(case, unit, [unit, unit], isa)
    check_matches(
        found.scores, found.positions, unit, [unit, unit], case.hw, case.shape, case.radius, case.topk,
        tolerance=TOLERANCE,
    )  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
