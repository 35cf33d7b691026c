"""`load` a bundle and track with it: the Python interface most people need.

The work happens in `trackers` (one frame at a time) and `pipeline` (whole videos); backends are found in `engines`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgvc_deploy.bundle import Bundle, open_bundle
from fgvc_deploy.engine import Engine, Size
from fgvc_deploy.engines import Engines
from fgvc_deploy.errors import SourceFault
from fgvc_deploy.pipeline import OnFrame, PointFrame, mask_frames, point_frames
from fgvc_deploy.queries import check_in_frame, check_mask_frame, check_queries, check_times
from fgvc_deploy.settings import Compat, PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.point_labels import LabelKind
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.tracks import Tracks
from fgvc_deploy.video.source import Source, open_source

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "edge"


class Model:
    """A bundle and the backends that run it; make one with `load`."""

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self._engines = Engines(bundle, threads)

    def engine(self, backend: str = "auto", propagation: PropagationSettings | None = None) -> Engine:
        """The shared parts of a tracker.

        `backend` is `auto`, one name, or an encoder's and a propagation's joined by `+`, as in `onnxruntime+numpy`;
        `onnxruntime:int8` is an encoder in a lower precision, which `auto` never takes; neither does it take `gpu`
        (docs/edge.md), alone or as in `onnxruntime+gpu`.  `propagation` replaces the bundle's settings.  Raises
        InputError for an unknown name, BackendError for one that cannot run here.
        """
        return self._engines.get(backend, propagation)

    def point_tracker(
        self,
        *,
        size: Size = None,
        compat: Compat = "corrected",
        backend: str = "auto",
        propagation: PropagationSettings | None = None,
        kind: LabelKind = "point",
    ) -> PointTracker:
        """A streaming tracker for points: `add_points`, then `step(frame)` for every frame."""
        return PointTracker(self.engine(backend, propagation), size=size, compat=compat, kind=kind)

    def mask_tracker(
        self,
        first_mask: NDArray[np.uint8],
        *,
        size: Size = None,
        compat: Compat = "corrected",
        backend: str = "auto",
        propagation: PropagationSettings | None = None,
    ) -> MaskTracker:
        """A streaming tracker for the objects of `first_mask`, uint8 ids [H, W]; the first `step` takes its frame."""
        return MaskTracker(self.engine(backend, propagation), first_mask, size=size, compat=compat)

    def track(
        self,
        source: Source,
        queries_tyx: ArrayLike,
        *,
        size: Size = None,
        compat: Compat = "corrected",
        backend: str = "auto",
        propagation: PropagationSettings | None = None,
        bidirectional: bool = False,
        round_trip: bool = False,
        kind: LabelKind = "point",
        on_frame: OnFrame | None = None,
    ) -> Tracks:
        """Track query points through a whole video.

        `source`: path, URL or uint8 RGB array [T, H, W, 3].  `queries_tyx` [N, 3]: (frame, y, x) in source pixels,
        integer = pixel centre.  `size`: what the encoder sees, None for the bundle's default.  With `bidirectional`
        points are followed backwards from their query frame too, which takes a second pass.  With `round_trip` each
        pass is followed by one back to the queries, and how far the ways are apart is part of the confidence.
        `on_frame` is called after every frame of a pass.

        Returns Tracks in the order of the queries.  Raises InputError for unusable input; a SourceFault (video
        broken part-way) carries what was tracked before the fault as its attribute `partial`.
        """
        tracker = self.point_tracker(size=size, compat=compat, backend=backend, propagation=propagation, kind=kind)
        queries = check_queries(queries_tyx)
        results: list[PointFrame] = []
        with open_source(source) as video:
            check_in_frame(queries[:, 2:0:-1], video.hw, "queries_tyx")
            check_times(queries, video.frame_count, "queries_tyx")
            frames = point_frames(
                video, tracker, queries, bidirectional=bidirectional, round_trip=round_trip, on_frame=on_frame
            )
            try:
                results.extend(result.without_frame() for result in frames)
            except SourceFault as fault:
                fault.partial = _as_tracks(results, queries, round_trip)
                raise
        return _as_tracks(results, queries, round_trip)

    def track_masks(
        self,
        source: Source,
        first_mask: NDArray[np.uint8],
        *,
        query_frame: int = 0,
        size: Size = None,
        compat: Compat = "corrected",
        backend: str = "auto",
        propagation: PropagationSettings | None = None,
        bidirectional: bool = False,
        on_frame: OnFrame | None = None,
    ) -> NDArray[np.uint8]:
        """Carry the objects of one frame's mask through a video: uint8 [T, H, W], ids as in `first_mask`.

        `first_mask` is uint8 [H, W] in source pixels, 0 = background; it lies on frame `query_frame`.  Frames before
        that are empty or, with `bidirectional`, tracked backwards.  Errors as `track`.
        """
        tracker = self.mask_tracker(first_mask, size=size, compat=compat, backend=backend, propagation=propagation)
        masks: list[NDArray[np.uint8]] = []
        with open_source(source) as video:
            check_mask_frame(query_frame, video.frame_count)
            frames = mask_frames(
                video, tracker, query_frame=query_frame, bidirectional=bidirectional, on_frame=on_frame
            )
            try:
                masks.extend(result.mask for result in frames)
            except SourceFault as fault:
                fault.partial = np.stack(masks) if masks else None
                raise
        return np.stack(masks)


def load(bundle: str | Path | None = None, *, threads: int | None = None) -> Model:
    """Open and verify a bundle directory or .zip; None opens the one shipped with the package.

    `threads` bounds every backend, None lets each choose.
    Raises BundleError when it is missing, damaged or newer than this version.
    """
    return Model(open_bundle(DEFAULT_BUNDLE if bundle is None else bundle), threads=threads)


def _as_tracks(results: list[PointFrame], queries: NDArray[np.float32], round_trip: bool) -> Tracks:
    count = len(queries)
    return Tracks(
        np.stack([r.xy for r in results], axis=1) if results else np.zeros((count, 0, 2), np.float32),
        np.stack([r.visible for r in results], axis=1) if results else np.zeros((count, 0), np.bool_),
        np.stack([r.confidence for r in results], axis=1) if results else np.zeros((count, 0), np.float32),
        queries,
        _gaps(results, count) if round_trip else None,
    )


def _gaps(results: list[PointFrame], count: int) -> NDArray[np.float32]:
    gaps = [result.gap for result in results if result.gap is not None]
    return np.stack(gaps, axis=1) if gaps else np.zeros((count, 0), np.float32)
