"""Window masks against goldens d (exact), and the key frames of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels.reference import memory_frames, radius_of_range, window_mask, window_rows

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
TAGS = ("circle30_20x24", "circle8_9x13", "circle9_9x13", "circle4_6x7", "square8_9x13", "square9_9x13")


def test_every_stored_tag_is_compared(goldens: Goldens) -> None:
    assert {name for name in goldens("d_spatial_neighbor") if not name.endswith("_count")} == set(TAGS)


@pytest.mark.parametrize("tag", TAGS)
def test_parity(tag: str, goldens: Goldens, parity: Callable[..., None]) -> None:
    golden = goldens("d_spatial_neighbor")
    kind, size = tag.split("_")
    height, width = (int(part) for part in size.split("x"))
    area = height * width
    stored = np.unpackbits(golden[tag])[: area * area].reshape(area, area).astype(bool)
    found = window_mask((height, width), "circle" if kind[0] == "c" else "square", radius_of_range(int(kind[6:])))
    parity(group="d", case=tag, value=int((stored != found.T).sum()), budget=0, unit="keys that differ")
    np.testing.assert_array_equal(found.sum(axis=1), golden[f"{tag}_count"])


def test_fractional_radius() -> None:
    centre = np.array([5 * 11 + 5])
    counts = [int(window_rows((11, 11), "circle", radius, centre).sum()) for radius in (1.0, 1.01, 1.5, 2.0, 2.01)]
    assert counts == [1, 5, 9, 9, 13]
    assert window_rows((11, 11), "square", 1.9, centre).sum() == 9


def test_unknown_shape_is_named() -> None:
    with pytest.raises(ValueError, match="'disc' is unknown"):
        window_mask((2, 2), "disc", 1.0)  # type: ignore[arg-type]


def test_reference_memory_lists_the_first_frame_twice() -> None:
    lists = [memory_frames(t, 5, duplicate_first=True) for t in range(1, 9)]
    assert [len(frames) for frames in lists] == [2, 3, 4, 5, 6, 6, 6, 6]
    assert lists[0] == [0, 0]
    assert lists[4] == [0, 0, 1, 2, 3, 4]
    assert lists[5] == [0, 1, 2, 3, 4, 5]
    assert lists[7] == [0, 3, 4, 5, 6, 7]


def test_corrected_memory_has_distinct_frames() -> None:
    lists = [memory_frames(t, 5, duplicate_first=False) for t in range(1, 9)]
    assert lists[0] == [0]
    assert lists[4] == [0, 1, 2, 3, 4]
    assert lists[5:] == [memory_frames(t, 5, duplicate_first=True) for t in (6, 7, 8)]


@pytest.mark.parametrize(("t", "memory"), [(0, 5), (3, 0)])
def test_no_key_frames_is_an_error(t: int, memory: int) -> None:
    with pytest.raises(ValueError, match="has no key frames"):
        memory_frames(t, memory, duplicate_first=True)
