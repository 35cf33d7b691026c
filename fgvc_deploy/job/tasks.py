"""What differs between tracking points and tracking masks in a run: queries, results, files and pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError
from fgvc_deploy.job.options import Job
from fgvc_deploy.model import Model
from fgvc_deploy.overlay import MaskOverlay, PointOverlay
from fgvc_deploy.pipeline import MaskFrame, PointFrame, mask_frames, point_frames, point_steps
from fgvc_deploy.queries import check_in_frame, check_times, query_frames
from fgvc_deploy.results import MaskWriter, ResultsFolder, StageTimer, TracksWriter
from fgvc_deploy.results.keypoints import read_keypoints
from fgvc_deploy.results.mask_file import read_mask
from fgvc_deploy.results.queries import grid_queries, read_queries
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.base import FrameSource

Result = TypeVar("Result", PointFrame, MaskFrame)
Frame = NDArray[np.uint8]


class Task(ABC, Generic[Result]):
    """One run's tracker with everything it writes."""

    def __init__(self, job: Job, engine: Engine, tracker: PointTracker | MaskTracker) -> None:
        self.timer: StageTimer = tracker.timer
        self.backends = {"encoder": engine.encoder.name, "propagation": engine.matcher.name}
        self._job = job
        self._tracker = tracker

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width the encoder sees."""
        return self._tracker.network_hw

    @abstractmethod
    def steps(self, frames: int | None) -> int | None:
        """How many times `on_frame` will be called for a source of `frames` frames; None when that is not known."""

    @abstractmethod
    def results(self, frames: Iterable[Frame], on_frame: Callable[[], None]) -> Iterator[Result]:
        """Results of every frame, in order."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Write one frame's results."""

    @abstractmethod
    def draw(self, result: Result) -> Frame:
        """The frame with its results drawn on it."""

    @abstractmethod
    def counts(self) -> dict[str, Any]:
        """How many things are tracked."""


class PointTask(Task[PointFrame]):
    """Points, a grid of them, or the keypoints of a pose."""

    def __init__(
        self,
        job: Job,
        engine: Engine,
        tracker: PointTracker,
        queries_tyx: NDArray[np.float32],
        names: list[str] | None,
        folder: ResultsFolder,
    ) -> None:
        super().__init__(job, engine, tracker)
        self._points = tracker
        self._queries = queries_tyx
        self._writer = folder.attach(TracksWriter(folder.path, queries_tyx, names=names, gap=job.round_trip))
        self._overlay = PointOverlay(queries_tyx[:, 2:0:-1])

    def steps(self, frames: int | None) -> int | None:
        """See `Task.steps`."""
        if frames is None:
            return None
        starts = query_frames(self._queries, self._job.compat)
        return point_steps(frames, starts, bidirectional=self._job.bidirectional, round_trip=self._job.round_trip)

    def results(self, frames: Iterable[Frame], on_frame: Callable[[], None]) -> Iterator[PointFrame]:
        """See `Task.results`."""
        return point_frames(
            frames,
            self._points,
            self._queries,
            bidirectional=self._job.bidirectional,
            round_trip=self._job.round_trip,
            on_frame=on_frame,
        )

    def write(self, result: PointFrame) -> None:
        """See `Task.write`."""
        self._writer.write(result.xy, result.visible, result.confidence, result.gap)

    def draw(self, result: PointFrame) -> Frame:
        """See `Task.draw`."""
        return self._overlay.draw(result.frame, result.xy, result.visible)

    def counts(self) -> dict[str, Any]:
        """See `Task.counts`."""
        return {"points": len(self._queries)}


class MaskTask(Task[MaskFrame]):
    """The objects of a mask."""

    def __init__(
        self, job: Job, engine: Engine, tracker: MaskTracker, mask: NDArray[np.uint8], folder: ResultsFolder
    ) -> None:
        super().__init__(job, engine, tracker)
        self._masks = tracker
        self._objects = int(np.count_nonzero(np.unique(mask)))
        self._writer = folder.attach(MaskWriter(folder.path))
        self._overlay = MaskOverlay()

    def steps(self, frames: int | None) -> int | None:
        """See `Task.steps`: a pass begins on the query frame; backwards and forwards share it."""
        if frames is None:
            return None
        return frames + 1 if self._job.bidirectional else max(1, frames - self._job.query_frame)

    def results(self, frames: Iterable[Frame], on_frame: Callable[[], None]) -> Iterator[MaskFrame]:
        """See `Task.results`."""
        return mask_frames(
            frames,
            self._masks,
            query_frame=self._job.query_frame,
            bidirectional=self._job.bidirectional,
            on_frame=on_frame,
        )

    def write(self, result: MaskFrame) -> None:
        """See `Task.write`."""
        self._writer.write(result.mask)

    def draw(self, result: MaskFrame) -> Frame:
        """See `Task.draw`."""
        return self._overlay.draw(result.frame, result.mask)

    def counts(self) -> dict[str, Any]:
        """See `Task.counts`."""
        return {"objects": self._objects}


def point_task(job: Job, model: Model, video: FrameSource, folder: ResultsFolder) -> PointTask:
    """The task of --points, --grid or --keypoints; queries that cannot exist in this video are refused here."""
    queries, names = _queries(job, video)
    name = str(job.points or job.keypoints or f"--query-frame {job.query_frame}")
    check_in_frame(queries[:, 2:0:-1], video.hw, name)
    check_times(queries, video.frame_count, name)
    engine = model.engine(job.backend, job.propagation(model.bundle.manifest.propagation))
    tracker = PointTracker(
        engine, size=job.size, compat=job.compat, kind="keypoint" if job.kind == "keypoints" else "point"
    )
    return PointTask(job, engine, tracker, queries, names, folder)


def mask_task(job: Job, model: Model, video: FrameSource, folder: ResultsFolder) -> MaskTask:
    """The task of --mask."""
    assert job.mask is not None
    mask = read_mask(job.mask, video.hw)
    if video.frame_count is not None and job.query_frame >= video.frame_count:
        raise InputError(
            f"--query-frame {job.query_frame} does not exist: the video has frames 0 to {video.frame_count - 1}."
        )
    engine = model.engine(job.backend, job.propagation(model.bundle.manifest.propagation))
    tracker = MaskTracker(engine, mask, size=job.size, compat=job.compat)
    return MaskTask(job, engine, tracker, mask, folder)


def _queries(job: Job, video: FrameSource) -> tuple[NDArray[np.float32], list[str] | None]:
    if job.grid is not None:
        return grid_queries(job.grid, video.hw, job.query_frame), None
    if job.points is not None:
        return read_queries(job.points, job.query_order), None
    assert job.keypoints is not None
    keypoints = read_keypoints(job.keypoints, video.hw)
    return keypoints.queries_tyx, keypoints.names
