"""Tracking the clips of a task with one model, and what each costs.  Scores and records are made elsewhere.

Processor time is that of the process while a clip is tracked, less what its reading took: decoding JPEG files is no
part of a tracker's cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Frame
from fgvc_benchmarks.datasets.frames import Frames
from fgvc_deploy.errors import InputError
from fgvc_deploy.model import Model
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.settings import FrozenModel, PropagationSettings
from fgvc_deploy.tracks import Tracks


class Cost(FrozenModel):
    """What tracking took: tracked frames (a second pass counts again), processor and wall-clock seconds."""

    frames: int
    cpu_s: float
    wall_s: float


class Runner:
    """Tracks clips with the options of one evaluation; `cost` is what has been used since the last `restart`."""

    def __init__(
        self,
        model: Model,
        options: EvalOptions,
        size: str | None,
        propagation: PropagationSettings,
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_frame = on_frame
        self._model = model
        self._round_trip = options.round_trip
        self._common: dict[str, Any] = {
            "size": size,
            "compat": options.compat,
            "backend": options.backend,
            "propagation": propagation,
        }
        self.restart()

    def restart(self) -> None:
        """Count from zero."""
        self._frames, self._cpu, self._wall = 0, 0.0, 0.0

    @property
    def cost(self) -> Cost:
        """What was used since the last `restart`."""
        return Cost(frames=self._frames, cpu_s=self._cpu, wall_s=self._wall)

    def points(
        self, frames: Frames, queries_tyx: NDArray[Any], *, keypoints: bool = False, bidirectional: bool = False
    ) -> Tracks:
        """Tracks of queries [N, 3]; those on the border's far side are moved to the border (see `inside`)."""
        queries = inside(queries_tyx, frames[0].shape[:2]).astype(np.float32)
        tracker = self._model.point_tracker(kind="keypoint" if keypoints else "point", **self._common)
        source = point_frames(
            self._timed(frames),
            tracker,
            queries,
            bidirectional=bidirectional,
            round_trip=self._round_trip,
            on_frame=self._count,
        )
        results = self._drain((r.xy, r.visible, r.confidence) for r in source)
        xy, visible, confidence = (np.stack(part, axis=1) for part in zip(*results, strict=True))
        return Tracks(xy, visible, confidence, queries)

    def masks(self, frames: Frames, first_mask: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Object ids of every frame."""
        tracker = self._model.mask_tracker(first_mask, **self._common)
        return self._drain(r.mask for r in mask_frames(self._timed(frames), tracker, on_frame=self._count))

    def _count(self) -> None:
        self._frames += 1
        self.on_frame()

    def _timed(self, frames: Frames) -> Iterator[Frame]:
        """Frames in order; the time they take to read is taken off again."""
        for index in range(len(frames)):
            cpu, wall = time.thread_time(), time.perf_counter()
            frame = frames[index]
            self._cpu -= time.thread_time() - cpu
            self._wall -= time.perf_counter() - wall
            yield frame

    def _drain(self, results: Iterator[Any]) -> list[Any]:
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return list(results)
        finally:
            self._cpu += time.process_time() - cpu
            self._wall += time.perf_counter() - wall


def inside(queries_tyx: NDArray[Any], hw: tuple[int, ...]) -> NDArray[np.float64]:
    """Queries with y and x moved into the frame: annotations may lie on its outer edge or just beyond."""
    queries = np.array(queries_tyx, np.float64)
    for column, side in ((1, hw[0]), (2, hw[1])):
        queries[:, column] = queries[:, column].clip(-0.5, side - 0.5)
    return queries


def changed_settings(base: PropagationSettings, changes: dict[str, float | int | str]) -> PropagationSettings:
    """The bundle's settings with some replaced.  Raises InputError naming a setting that is unknown or impossible."""
    from pydantic import ValidationError

    try:
        return PropagationSettings.model_validate(base.model_dump() | changes)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(map(str, fault["loc"]))
        known = ", ".join(PropagationSettings.model_fields)
        raise InputError(f"the setting {name!r} cannot be used ({fault['msg']}); settings are {known}.") from None
