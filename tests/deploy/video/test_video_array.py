"""Clips in memory, and the table that tells kinds of sources apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.video import SOURCE_KINDS, open_source


def test_array_frames_are_not_copied() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    with open_source(clip) as source:
        assert (source.hw, source.frame_count, source.fps, source.reopenable) == ((5, 7), 3, None, True)
        frames = list(source)
    assert all(np.shares_memory(frame, clip) for frame in frames)
    np.testing.assert_array_equal(np.stack(frames), clip)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (np.zeros((2, 5, 7, 3), np.float32), "dtype float32"),
        (np.zeros((5, 7, 3), np.uint8), "shape \\(5, 7, 3\\)"),
        (np.zeros((2, 3, 5, 7), np.uint8), "shape \\(2, 3, 5, 7\\)"),
        (np.zeros((0, 5, 7, 3), np.uint8), "no pixels"),
    ],
    ids=["float", "one frame", "channels first", "no frame"],
)
def test_unusable_arrays(clip: NDArray[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_source(clip)


def test_table_of_kinds_ends_with_one_that_takes_everything() -> None:
    assert [kind.name for kind in SOURCE_KINDS][-1] == "nothing"
    assert SOURCE_KINDS[-1].matches("anything")
    for kind in SOURCE_KINDS[:2]:
        assert kind.matches(kind.example)
