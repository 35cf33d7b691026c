"""Pictures that were put into a decoder and have not come out yet: finds the ones that a decoder drops in silence."""

from __future__ import annotations

import heapq

# Codecs whose every packet is shown once: not VP8 (alternate reference frames), not MPEG-4 part 2 (packed frames).
_ONE_TO_ONE = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "prores"})


class PendingPictures:
    """Presentation times of packets under way; memory is the decoder's delay."""

    def __init__(self, codec: str, whole_pictures: bool) -> None:
        self._active = whole_pictures and codec in _ONE_TO_ONE
        self._times: list[int] = []
        self._shown = False

    def enter(self, pts: int | None) -> None:
        """A packet goes into the decoder."""
        if self._active and pts is not None:
            heapq.heappush(self._times, pts)

    def leave(self, pts: int | None) -> bool:
        """A picture comes out; whether an earlier one was lost.

        Before the first picture nothing counts as lost: a stream may begin with pictures that refer to missing ones.
        """
        if not self._active or pts is None:
            return False
        lost = False
        while self._times and self._times[0] <= pts:
            lost |= heapq.heappop(self._times) < pts
        self._shown, lost = True, lost and self._shown
        return lost

    def lost_at_end(self) -> bool:
        """Whether pictures are missing once the decoder is drained."""
        return self._shown and bool(self._times)
