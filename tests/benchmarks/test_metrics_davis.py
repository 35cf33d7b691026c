"""J and F against the PyPI package vos-benchmark 0.1.0, against a brute-force boundary match, and by hand."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_benchmarks.datasets.davis import read_davis
from fgvc_benchmarks.metrics.davis import (
    boundary_accuracy,
    boundary_map,
    dilate,
    region_similarity,
    score_masks,
    statistics,
)

Labels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def official() -> Any:
    pytest.importorskip("vos_benchmark", reason="pip install vos-benchmark==0.1.0 compares J&F with it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("vos_benchmark.evaluator")


def blobs(rng: np.random.Generator, hw: tuple[int, int], ids: list[int]) -> Labels:
    """A label map of ellipses, some of them cut by the borders."""
    y, x = np.mgrid[: hw[0], : hw[1]]
    labels = np.zeros(hw, np.uint8)
    for object_id in ids:
        centre_y, centre_x = rng.uniform(0, hw[0]), rng.uniform(0, hw[1])
        radius_y, radius_x = rng.uniform(0.05, 0.4, 2) * np.array(hw)
        labels[((y - centre_y) / radius_y) ** 2 + ((x - centre_x) / radius_x) ** 2 < 1] = object_id
    return labels


def sequences() -> dict[str, tuple[list[Labels], list[Labels]]]:
    """Pairs of (predicted, true) sequences: ordinary ones and the corners where definitions usually differ."""
    rng = np.random.default_rng(7)
    several = (
        [blobs(rng, (60, 90), [1, 2, 3]) for _ in range(6)],
        [blobs(rng, (60, 90), [1, 2, 3]) for _ in range(6)],
    )
    empty, full = np.zeros((40, 50), np.uint8), np.ones((40, 50), np.uint8)
    one = blobs(rng, (40, 50), [1])
    return {
        "several objects": (several[0], several[1]),
        "perfect": (several[1], several[1]),
        "object appears late": ([empty, empty, one, one * 2, one, one], [empty, empty, empty, one, one, one]),
        "object vanishes": ([empty, one, empty, empty, empty], [one, one, one, empty, one]),
        "only a wrong object": ([one * 5] * 4, [one] * 4),
        "full frame": ([full, full, one, full], [full, one, full, full]),
        "tiny odd frame": (
            [blobs(rng, (7, 5), [1, 4]) for _ in range(5)],
            [blobs(rng, (7, 5), [1, 4]) for _ in range(5)],
        ),
    }


@pytest.mark.parametrize("case", sequences())
@pytest.mark.parametrize("skip_ends", [True, False])
def test_equals_vos_benchmark(official: Any, case: str, skip_ends: bool) -> None:
    predicted, truth = sequences()[case]
    evaluator = official.Evaluator()
    for frame in range(1, len(truth) - 1) if skip_ends else range(len(truth)):
        evaluator.feed_frame(predicted[frame], truth[frame])
    region, boundary = evaluator.conclude()
    scores = score_masks(predicted, truth, skip_ends=skip_ends)
    assert scores.keys() == region.keys()
    for object_id, score in scores.items():
        assert 100 * score.region.mean() == pytest.approx(region[object_id], abs=1e-10)
        assert 100 * score.boundary.mean() == pytest.approx(boundary[object_id], abs=1e-10)


def test_equals_vos_benchmark_on_real_masks(official: Any, data_dir: Path) -> None:
    """The mask of the first frame left standing: real outlines at full size, J and F well inside 0..1."""
    sequence = next(sequence for sequence in read_davis(data_dir / "davis16") if sequence.name == "dog")
    truth = [sequence.labels(index) for index in range(0, 60, 10)]
    evaluator = official.Evaluator()
    for mask in truth[1:-1]:
        evaluator.feed_frame(truth[0], mask)
    (region,), (boundary,) = (list(values.values()) for values in evaluator.conclude())
    score = score_masks([truth[0]] * len(truth), truth)[1]
    assert 5 < region < 95
    assert 100 * score.region.mean() == pytest.approx(region, abs=1e-10)
    assert 100 * score.boundary.mean() == pytest.approx(boundary, abs=1e-10)


def test_boundary_match_by_brute_force() -> None:
    """The definition itself: a boundary pixel is matched if the other boundary has a pixel within the radius."""
    rng = np.random.default_rng(3)
    predicted, truth = blobs(rng, (150, 200), [1]) > 0, blobs(rng, (150, 200), [1]) > 0
    radius = int(np.ceil(0.008 * np.hypot(150, 200)))
    ours, theirs = (np.argwhere(boundary_map(mask)) for mask in (predicted, truth))
    near = ((ours[:, None] - theirs[None]) ** 2).sum(-1) <= radius**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    assert radius == 2
    assert boundary_accuracy(predicted, truth) == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("radius", [0, 1, 3, 8, 40])
def test_dilate_by_brute_force(radius: int) -> None:
    mask = np.random.default_rng(radius).random((13, 17)) > 0.95
    y, x = np.mgrid[:13, :17]
    expected = np.zeros_like(mask)
    for at_y, at_x in np.argwhere(mask):
        expected |= (y - at_y) ** 2 + (x - at_x) ** 2 <= radius**2
    assert np.array_equal(dilate(mask, radius), expected)


def test_shifted_square() -> None:
    """A 20x20 square moved by 5: J = 15 / 25; its sides are matched along the shift and missed across it."""
    truth = np.zeros((100, 100), bool)
    truth[40:60, 40:60] = True
    predicted = np.roll(truth, 5, axis=1)
    assert region_similarity(predicted, truth) == 15 / 25
    assert 0 < boundary_accuracy(predicted, truth) < 1
    assert boundary_accuracy(predicted, truth, bound_th=5) == 1.0


def test_statistics() -> None:
    per_frame = np.linspace(1.0, 0.0, 41)
    mean, recall, decay = statistics(per_frame)
    assert mean == pytest.approx(0.5)
    assert recall == 20 / 41
    assert decay == pytest.approx(0.75)


def test_says_what_does_not_fit() -> None:
    mask = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="predict every frame"):
        score_masks([mask] * 3, [mask] * 4)
    with pytest.raises(ValueError, match="at least 3"):
        score_masks([mask] * 2, [mask] * 2)
    with pytest.raises(ValueError, match="size of the annotation"):
        score_masks([np.zeros((2, 2), np.uint8)] * 3, [mask] * 3)
