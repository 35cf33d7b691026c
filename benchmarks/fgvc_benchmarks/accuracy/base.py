"""What a task is: a data set, how its clips are tracked, scored and averaged.  No data set is named here.

Figures are keyed by their official names.  A figure that nothing could be counted for is None, never NaN, because
records are JSON; averages leave it out.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fgvc_benchmarks.datasets.frames import FrameFiles, Frames
from fgvc_benchmarks.metrics.tapvid import QueryMode
from fgvc_deploy.settings import Compat, FrozenModel
from fgvc_deploy.tracks import Tracks

Frame = NDArray[np.uint8]
Unit = Literal["percent", "fraction", "px"]
Figures = dict[str, float | None]


class EvalOptions(FrozenModel):
    """What a person chooses beside model and data; None leaves it to the task, the bundle or the machine.

    `split` and `year` are DAVIS's and the synthetic scenes', `query_mode` is TAP-Vid's.  `round_trip` follows
    points back to their queries for a better verdict on visibility.  `settings` replaces fields of the bundle's
    propagation settings.
    """

    compat: Compat = "corrected"
    size: str | None = None
    backend: str = "auto"
    threads: int | None = None
    split: str | None = None
    year: str | None = None
    query_mode: QueryMode = "first"
    round_trip: bool = False
    settings: dict[str, float | int | str] = Field(default_factory=dict)

    @property
    def reference(self) -> bool:
        """Whether metrics and protocol repeat the published code, slips included."""
        return self.compat == "reference"


class Scores(FrozenModel):
    """Figures of one clip, and the counts that averages over clips are made of where they are no plain means."""

    figures: Figures
    tallies: dict[str, tuple[float, ...]] = Field(default_factory=dict)


class Clip(Protocol):
    """One sequence of a data set: at least a name and frames."""

    @property
    def name(self) -> str:
        """What figures and files are called by."""
        ...

    @property
    def frames(self) -> Frames:
        """Its frames, in order."""
        ...


class Runs(Protocol):
    """What a task needs of the runner: tracking, with the options already applied."""

    def points(
        self, frames: Frames, queries_tyx: NDArray[Any], *, keypoints: bool = False, bidirectional: bool = False
    ) -> Tracks:
        """Track queries [N, 3] (frame, y, x) in pixels of the frames; see `Model.track`."""
        ...

    def masks(self, frames: Frames, first_mask: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Carry the objects of the first frame's mask; uint8 ids [H, W] of every frame."""
        ...


C = TypeVar("C", bound=Clip)
P = TypeVar("P")


class Marks(NamedTuple):
    """What an overlay of points shows: predicted and true (x, y) [N, T, 2] and whether each is shown, bool [N, T]."""

    predicted: NDArray[Any]
    visible: NDArray[np.bool_]
    truth: NDArray[Any]
    known: NDArray[np.bool_]


class Masks(NamedTuple):
    """What an overlay of masks shows: predicted and true ids [H, W] of every frame."""

    predicted: list[NDArray[np.uint8]]
    truth: list[NDArray[np.uint8]]


class Task(ABC, Generic[C, P]):
    """A data set and its protocol.  `unit` is that of the headline figure."""

    name: ClassVar[str]
    unit: ClassVar[Unit]
    about: ClassVar[str]
    """One line: what is scored, and against what."""
    reference_size: ClassVar[str | None] = None
    """Network size of the published protocol, used under `reference`; None: the bundle's."""
    counts_visibility: ClassVar[bool] = False
    """Whether the metrics count what the model says of visibility."""
    protocol_size: ClassVar[str | None] = None
    """Network size that the benchmark itself prescribes, used in both modes."""

    @abstractmethod
    def headline(self, options: EvalOptions) -> str:
        """Name of the figure that is reported first."""

    @abstractmethod
    def clips(self, root: Path, options: EvalOptions) -> Iterator[C]:
        """Clips of a folder, by name.  Raises InputError, naming what is missing, for a folder that is not whole."""

    @abstractmethod
    def predict(self, clip: C, run: Runs, options: EvalOptions) -> P:
        """Track one clip by the protocol."""

    @abstractmethod
    def score(self, clip: C, prediction: P, options: EvalOptions) -> Scores:
        """Score one clip."""

    @abstractmethod
    def marks(self, clip: C, prediction: P, options: EvalOptions) -> Marks | Masks:
        """What an overlay draws, in pixels of the clip's frames."""

    def average(self, scores: Mapping[str, Scores], options: EvalOptions) -> Figures:
        """Figures of the whole data set: by default means over clips."""
        return mean_figures([clip.figures for clip in scores.values()])

    def size(self, options: EvalOptions) -> str | None:
        """Network size to track at; None is the bundle's default."""
        return options.size or self.protocol_size or (self.reference_size if options.reference else None)

    def fingerprint(self, clip: C) -> str:
        """A hash that changes when the clip's files or its truth do, so that no old record is taken for it."""
        return fingerprint(clip)


def mean_figures(rows: list[Figures]) -> Figures:
    """Mean of each figure over the rows that have it; None where none has."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: mean_known([row.get(name) for row in rows]) for name in names}


def mean_known(values: list[float | None]) -> float | None:
    """Mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def known(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if np.isnan(value) else float(value)


def fingerprint(clip: Any) -> str:
    """sha256 over names and sizes of a clip's files and over its arrays, field by field of the named tuple."""
    digest = hashlib.sha256()
    for value in clip:
        for part in value.paths if isinstance(value, FrameFiles) else [value]:
            digest.update(_content(part))
    return digest.hexdigest()


def _content(part: Any) -> bytes:
    if isinstance(part, Path):
        return f"{part.name}:{part.stat().st_size};".encode()
    if isinstance(part, tuple):
        return b"".join(_content(item) for item in part)
    if isinstance(part, np.ndarray) and part.dtype != object:
        return str(part.shape).encode() + np.ascontiguousarray(part).tobytes()
    return str(part).encode()
