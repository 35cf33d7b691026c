"""DAVIS 2016 and 2017, semi-supervised: the first mask is given, J and F of the others are scored.

Both years have the same layout; a sequence's masks tell which it is (see `datasets/davis.py`).  First and last frame
are not scored.  `J&F` and its parts equal the PyPI package vos-benchmark: averages are over objects.  A list of
sequences, ROOT/ImageSets/<year>/<split>.txt, is used with `--split`.  The metric has no `reference` variant, because
FGVC's released code has no mask path (goldens item 27); `compat` changes the tracker only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Figures, Masks, Runs, Scores, Task, known
from fgvc_benchmarks.datasets.davis import DavisSequence, read_davis
from fgvc_benchmarks.metrics.davis import FrameScores, score_masks, statistics

MaskList = list[NDArray[np.uint8]]


class Davis(Task[DavisSequence, MaskList]):
    """Figures are fractions, named as in the DAVIS evaluation; predictions are object ids of every frame."""

    name = "davis"
    unit = "fraction"
    about = "J and F of objects, first mask given; ROOT/JPEGImages/480p and ROOT/Annotations/480p"

    def headline(self, options: EvalOptions) -> str:
        """J of 2016, J&F of 2017."""
        return "J&F-Mean" if options.year == "2017" else "J-Mean"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[DavisSequence]:
        """Sequences of the split, or all that are there."""
        yield from read_davis(root, split=options.split, year=options.year)

    def predict(self, clip: DavisSequence, run: Runs, options: EvalOptions) -> MaskList:
        """The first mask carried through the sequence."""
        return run.masks(clip.frames, clip.labels(0))

    def score(self, clip: DavisSequence, prediction: MaskList, options: EvalOptions) -> Scores:
        """Means over the sequence's objects; tallies are one value for each object."""
        objects = score_masks(prediction, [clip.labels(t) for t in range(len(clip.frames))])
        tallies = object_statistics(objects)
        return Scores(figures=_means(tallies), tallies=tallies)

    def average(self, scores: Mapping[str, Scores], options: EvalOptions) -> Figures:
        """Over all objects of all sequences."""
        names = dict.fromkeys(name for score in scores.values() for name in score.tallies)
        return _means({n: sum((score.tallies[n] for score in scores.values()), ()) for n in names})

    def marks(self, clip: DavisSequence, prediction: MaskList, options: EvalOptions) -> Masks:
        """Both masks of every frame."""
        return Masks(prediction, [clip.labels(t) for t in range(len(clip.frames))])


def object_statistics(objects: Mapping[int, FrameScores]) -> dict[str, tuple[float, ...]]:
    """DAVIS's statistics, one value for each object in the order of ids."""
    rows: dict[str, list[float]] = {}
    for scores in objects.values():
        region, boundary = statistics(scores.region), statistics(scores.boundary)
        rows.setdefault("J&F-Mean", []).append((region.mean + boundary.mean) / 2)
        for letter, values in (("J", region), ("F", boundary)):
            for name, value in zip(("Mean", "Recall", "Decay"), values, strict=True):
                rows.setdefault(f"{letter}-{name}", []).append(value)
    return {name: tuple(values) for name, values in rows.items()}


def _means(tallies: Mapping[str, tuple[float, ...]]) -> Figures:
    return {name: known(float(np.mean(values))) if values else None for name, values in tallies.items()}
