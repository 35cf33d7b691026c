"""The zero-padded window variant against a pixel-by-pixel count of keys, and against the masked square window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels.reference import AttentionOptions, attend, attend_padded, unit_rows, window_mask

OPTIONS = AttentionOptions(topk=6, temperature=0.2)


def scene(height: int, width: int, frames: int = 2) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(3)
    features = rng.standard_normal((frames + 1, height, width, 5))
    return features[-1], features[:-1], rng.random((frames, height, width, 2))


def by_hand(
    query: NDArray[Any], keys: NDArray[Any], labels: NDArray[Any], radius: int, y: int, x: int
) -> list[float]:
    """One pixel in Python numbers: collect (affinity, labels) of every window position, sort, weigh."""
    height, width, _ = query.shape
    found = []
    for frame_keys, frame_labels in zip(unit_rows(keys), labels, strict=True):
        for ky in range(y - radius, y + radius + 1):
            for kx in range(x - radius, x + radius + 1):
                if 0 <= ky < height and 0 <= kx < width:
                    found.append((float(unit_rows(query)[y, x] @ frame_keys[ky, kx]), frame_labels[ky, kx].tolist()))
                else:
                    found.append((0.0, [0.0, 0.0]))
    best = sorted(found, key=lambda pair: -pair[0])[: OPTIONS.topk]
    weights = [math.exp(affinity / OPTIONS.temperature) for affinity, _ in best]
    return [sum(w * pair[1][p] for w, pair in zip(weights, best, strict=True)) / sum(weights) for p in range(2)]


@pytest.mark.parametrize(("height", "width", "radius"), [(6, 7, 2), (1, 5, 1), (3, 3, 4)])
def test_every_pixel_by_hand(height: int, width: int, radius: int) -> None:
    query, keys, labels = scene(height, width)
    found = attend_padded(query, keys, labels, radius, OPTIONS)
    expected = [[by_hand(query, keys, labels, radius, y, x) for x in range(width)] for y in range(height)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_away_from_borders_it_is_the_square_window() -> None:
    query, keys, labels = scene(9, 10)
    # 20 of 30 keys at a corner row: some have a negative affinity, and padding displaces those.
    options = AttentionOptions(topk=20, temperature=0.2)
    masked = attend(query, keys, labels, window_mask((9, 10), "square", 2), options)
    padded = attend_padded(query, keys, labels, 2, options)
    np.testing.assert_allclose(padded[2:-2, 2:-2], masked[2:-2, 2:-2], rtol=0, atol=1e-12)
    assert np.abs(padded[0] - masked[0]).max() > 1e-3
