"""Streaming point tracking: add points, step frame by frame, remove points.

Masks live in `masks.py`; reading whole videos lives in `fgvc_deploy.pipeline`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgvc_deploy.choices import check_choice
from fgvc_deploy.engine import Engine, Size, check_frame
from fgvc_deploy.errors import InputError
from fgvc_deploy.fine.stage import FineStage
from fgvc_deploy.preprocess.size import PixelMap
from fgvc_deploy.propagation.base import FeatureMap, Float32Array
from fgvc_deploy.queries import check_in_frame, check_known, check_points
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.settings import Compat, PropagationSettings
from fgvc_deploy.stages import StageTimer
from fgvc_deploy.trackers.point_group import PointGroup, evidence_by_id
from fgvc_deploy.trackers.point_labels import LabelKind, label_points, read_query_points
from fgvc_deploy.trackers.point_step import PointStep, step_of
from fgvc_deploy.trackers.visibility import Appearance, Evidence
from fgvc_deploy.trackers.waiting_points import WaitingPoints

__all__ = ["PointStep", "PointTracker"]

QueryPlace = Literal["next", "last"]


class PointTracker:
    """Tracks points through a stream of frames; memory is constant in the number of frames.

    Confidence of a point is 1 on its query frame and 0 when its label vanished; else what `visibility.py` makes of
    the evidence.  With a bundle that was not calibrated, and in reference mode, it is the mean of the five highest
    label values, those that the coordinate is averaged from.  `visible` is confidence >= the bundle's
    `visible_threshold`.  This is the project's own: the reference predicts no visibility (goldens item 18).

    `kind="keypoint"` draws the labels of a pose sequence (JHMDB, BADJA): Gaussians of `keypoint_sigma`, resampled
    bilinearly (goldens item 31).  Raises InputError for an unknown `kind` or `compat`.
    """

    def __init__(
        self, engine: Engine, *, size: Size = None, compat: Compat = "corrected", kind: LabelKind = "point"
    ) -> None:
        check_choice("compat", compat, Compat)
        check_choice("kind", kind, LabelKind)
        self.compat: Compat = compat
        self.timer = StageTimer()
        self.overlap = engine.overlap
        self._engine = engine
        self._size = size
        self._kind: LabelKind = kind
        reference = compat == "reference"
        self._propagator = engine.propagator(
            duplicate_first=reference, active_tau=0.0 if reference else engine.propagation.active_tau
        )
        self._fine = FineStage(on=engine.propagation.fine == "patch" and not reference and kind == "point")
        self._groups: list[PointGroup] = []
        self._waiting = WaitingPoints()
        self._next_id = 0
        self._map: PixelMap | None = None

    def renewed(self) -> PointTracker:
        """A new tracker with the same settings and no points, whose time counts towards this one's `timer`."""
        tracker = PointTracker(self._engine, size=self._size, compat=self.compat, kind=self._kind)
        tracker.timer = self.timer
        return tracker

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width the encoder sees; known from the first frame on."""
        return self.pixel_map.network_hw

    @property
    def pixel_map(self) -> PixelMap:
        """Between pixels of the source and of the network; known from the first frame on."""
        if self._map is None:
            raise InputError("the tracker has not seen a frame yet: call step(frame) first.")
        return self._map

    @property
    def settings(self) -> PropagationSettings:
        """How labels are carried and visibility is judged."""
        return self._engine.propagation

    @property
    def frame_index(self) -> int:
        """Number of the newest frame; -1 before the first step."""
        return self._propagator.frame_index

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of the points being tracked, in the order they were added; waiting ones included."""
        return np.sort(np.concatenate([self._waiting.ids, *(group.ids for group in self._groups)]))

    @property
    def evidence(self) -> Evidence | None:
        """What the newest frame says of the points being tracked, in the order of their ids; 1 on a query frame.

        None before the first point's query frame, and where visibility is not judged.
        """
        return evidence_by_id(self._groups)

    def add_points(self, xy: ArrayLike, *, frame: QueryPlace = "next") -> NDArray[np.int64]:
        """Add query points [P, 2] (x, y) in source pixels; returns their ids, int64 [P].

        With `frame="next"` they lie on the frame given to the coming `step`, with "last" on the newest frame.
        Raises InputError for points that are not finite or outside the frame, and for "last" before any frame.
        """
        check_choice("frame", frame, QueryPlace)
        points = check_points(xy)
        if frame == "last" and self.frame_index < 0:
            raise InputError("there is no last frame yet: add the points before the first step, or step first.")
        if self._map is not None:
            check_in_frame(points, self._map.source_hw)
        ids = np.arange(self._next_id, self._next_id + len(points), dtype=np.int64)
        self._next_id += len(points)
        if frame == "last":
            self._start(ids, points)
        else:
            self._waiting.add(ids, points)
        return ids

    def remove_points(self, ids: ArrayLike) -> None:
        """Stop tracking these ids; raises InputError naming the ids that are not being tracked."""
        gone = np.unique(np.asarray(ids, dtype=np.int64))
        check_known(gone, self.ids)
        self._waiting.remove(gone)
        for group in list(self._groups):
            self._keep(group, ~np.isin(group.ids, gone))

    def _keep(self, group: PointGroup, keep: NDArray[np.bool_]) -> None:
        if keep.all():
            return
        if not keep.any():
            self._groups.remove(group)
            self._propagator.remove_group(group.labels)
            return
        group.keep(keep)

    def step(self, frame: NDArray[np.uint8]) -> PointStep:
        """Take the next uint8 RGB frame [H, W, 3]; returns every point on it."""
        with self.timer.stage("frame"):
            self.open(frame)
            return self.step_features(self.encode(frame))

    def open(self, frame: NDArray[np.uint8]) -> None:
        """Check a frame, and fix the frame size on the first one; waiting points are checked against it."""
        hw = check_frame(frame, self._map.source_hw if self._map else None)
        if self._map is None:
            self._waiting.check(hw)
            self._map = PixelMap(hw, self._engine.network_size(self._size, hw), self.compat)

    def encode(self, frame: NDArray[np.uint8]) -> FeatureMap:
        """Features of a frame that `open` accepted; may run in another thread than `step_features`."""
        return self._fine.encode(self._engine, frame, self.network_hw, self.timer)

    def step_features(self, features: FeatureMap) -> PointStep:
        """The part of a step that follows the encoder."""
        with self.timer.stage("propagate"):
            self._propagator.advance(self._fine.take(features))
        with self.timer.stage("readout"):
            for group, readout in zip(self._groups, self._propagator.read_points(self._grid()), strict=True):
                group.note(readout)
            self._judge()
        self._fine.follow(self._groups, self.timer)
        if self._waiting:
            # One group, however many calls added them: every group costs a merge of its own on every frame.
            self._start(*self._waiting.take())
        return step_of(self.frame_index, self._groups, self.pixel_map, self.settings.visible_threshold)

    def _start(self, ids: NDArray[np.int64], points: Float32Array) -> None:
        hw, stride, settings = self.network_hw, self._engine.encoder_settings.stride, self.settings
        xy = self.pixel_map.to_network(points).astype(np.float32)
        labels = label_points(xy, hw, stride, settings, self._kind, self.compat)
        read_xy, certain = read_query_points(xy, hw, settings, self._kind, self.compat)
        self._groups.append(PointGroup(self._propagator.start_group(labels), ids, read_xy, certain))
        if looks := self._looks():
            self._groups[-1].look(looks[-1])
        self._fine.start(self._groups[-1])

    def _looks(self) -> list[Appearance] | None:
        """How every group's points look at their places on the newest frame; None where visibility is not judged."""
        if self.compat == "reference" or self.settings.visibility is None:
            return None
        stride = np.float32(self._engine.encoder_settings.stride)
        return self._propagator.appearance([group.xy / stride for group in self._groups])

    def _judge(self) -> None:
        """Confidence of every point from the evidence of the newest frame; the read-out has left its peak there."""
        settings, looks = self.settings.visibility, self._looks()
        if settings is not None and looks is not None:
            for group, now in zip(self._groups, looks, strict=True):
                group.judge(now, settings)

    def _grid(self) -> ReadGrid:
        hw = self.network_hw
        return ReadGrid(self._engine.feature_size(hw), hw, self._engine.encoder_settings.stride, self.compat)
