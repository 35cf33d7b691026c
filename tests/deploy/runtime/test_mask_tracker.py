"""The streaming mask tracker and whole-clip mask runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError
from fgvc_deploy.pipeline import MaskFrame, mask_frames
from fgvc_deploy.trackers.masks import MaskTracker
from interrupts import interrupt_at

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]


def _mask(t: int = 0) -> NDArray[np.uint8]:
    """Two objects, ids 7 and 200, that move with the clip."""
    mask = np.zeros((64, 80), np.uint8)
    mask[10 + t : 30 + t, 12 + 2 * t : 36 + 2 * t] = 7
    mask[36 + t : 50 + t, 20 + 2 * t : 40 + 2 * t] = 200
    return mask


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_objects_follow_the_motion_and_keep_their_ids(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = MaskTracker(quick_engine(), _mask())
    for t, frame in enumerate(moving_clip[:8]):
        mask = tracker.step(frame)
        assert set(np.unique(mask)) == {0, 7, 200}
        for object_id in (7, 200):
            assert _iou(mask == object_id, _mask(t) == object_id) > 0.8


def test_the_first_mask_comes_back_unchanged(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    np.testing.assert_array_equal(MaskTracker(quick_engine(), _mask()).step(moving_clip[0]), _mask())


def test_whole_clip_equals_streaming(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = MaskTracker(quick_engine(), _mask())
    streamed = [tracker.step(frame) for frame in moving_clip]
    for result, expected in zip(
        mask_frames(moving_clip, MaskTracker(quick_engine(), _mask())), streamed, strict=True
    ):
        np.testing.assert_array_equal(result.mask, expected)


def test_a_mask_on_a_later_frame(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    results = list(mask_frames(moving_clip, MaskTracker(quick_engine(), _mask(4)), query_frame=4))
    assert [r.frame_index for r in results] == list(range(12))
    assert all(not r.mask.any() for r in results[:4])
    np.testing.assert_array_equal(results[4].mask, _mask(4))
    assert _iou(results[7].mask == 7, _mask(7) == 7) > 0.8


def test_bidirectional_masks(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = MaskTracker(quick_engine(), _mask(4))
    results = list(mask_frames(moving_clip, tracker, query_frame=4, bidirectional=True))
    assert [r.frame_index for r in results] == list(range(12))
    for t in (0, 2, 6):
        assert _iou(results[t].mask == 7, _mask(t) == 7) > 0.75
        np.testing.assert_array_equal(results[t].frame, moving_clip[t])


def test_an_interrupt_on_the_way_back_keeps_what_was_done(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    stop = interrupt_at(3)  # the query frame itself and two before it
    whole = list(mask_frames(moving_clip, MaskTracker(quick_engine(), _mask(6)), query_frame=6, bidirectional=True))
    kept: list[MaskFrame] = []
    frames = mask_frames(
        moving_clip, MaskTracker(quick_engine(), _mask(6)), query_frame=6, bidirectional=True, on_frame=stop
    )
    with pytest.raises(KeyboardInterrupt) as stopped:
        kept.extend(frames)
    assert stopped.value.__notes__ == ["the way back did not reach frames 0 to 3, where masks are empty"]
    assert [r.frame_index for r in kept] == list(range(7))
    assert not any(r.mask.any() for r in kept[:4])
    for one, other in zip(kept[4:], whole[4:7], strict=True):
        np.testing.assert_array_equal(one.frame, other.frame)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.mask.any()


@pytest.mark.parametrize(
    ("calls", "told"), [(6, ["the way back did not reach frame 0, where masks are empty"]), (7, [])]
)
def test_only_frames_that_are_empty_are_noted(
    calls: int, told: list[str], quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    stop = interrupt_at(calls)
    tracker = MaskTracker(quick_engine(), _mask(6))
    kept: list[MaskFrame] = []
    with pytest.raises(KeyboardInterrupt) as stopped:
        kept.extend(mask_frames(moving_clip, tracker, query_frame=6, bidirectional=True, on_frame=stop))
    assert getattr(stopped.value, "__notes__", []) == told
    assert [r.mask.any() for r in kept] == [not told] + [True] * 6


def test_a_mask_after_the_end(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    with pytest.raises(InputError, match=r"frame 40.*ends before"):
        list(mask_frames(moving_clip, MaskTracker(quick_engine(), _mask()), query_frame=40))


def test_an_object_smaller_than_a_feature_survives(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """One pixel between the sampled ones: the reference loses it (goldens item 28)."""
    mask = _mask()
    mask[5, 5] = 9
    tracker = MaskTracker(quick_engine(), mask)
    tracker.step(moving_clip[0])
    assert 9 in tracker.step(moving_clip[1])


def test_a_mask_of_another_size(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = MaskTracker(quick_engine(), _mask()[:60])
    with pytest.raises(InputError, match=r"60x80.*64x80"):
        tracker.step(moving_clip[0])


def test_a_frame_that_was_refused_does_not_count(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    ids = (np.arange(64 * 80) % 255 + 1).astype(np.uint8).reshape(64, 80)
    tracker = MaskTracker(quick_engine(stride=4), ids, size=(32, 32))
    with pytest.raises(InputError, match="only 64 feature cells"):
        tracker.step(moving_clip[0])
    assert tracker.frame_index == -1
    assert tracker.network_hw == (0, 0)


def test_an_empty_mask(quick_engine: EngineFactory) -> None:
    with pytest.raises(InputError, match="empty"):
        MaskTracker(quick_engine(), np.zeros((64, 80), np.uint8))
