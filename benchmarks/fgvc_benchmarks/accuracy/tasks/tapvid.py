"""TAP-Vid: any point on any object, in pickles of DAVIS, Kinetics or RGB-stacking.

Frames are brought to 256x256 and distances measured there, in both modes.  `--query-mode first` (default) starts each
point at its first visible frame; `strided` at every fifth visible one, and then points are followed both ways, except
under `reference`, whose tracker only goes forward (goldens item 17).  Figures are fractions; the published tables
show them times 100.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fgvc_benchmarks.accuracy.base import EvalOptions, Marks, Runs, Scores, Task, fingerprint
from fgvc_benchmarks.accuracy.tasks.points import PointTruth, score_points, shown
from fgvc_benchmarks.datasets.tapvid import SCORED_HW, TapVidVideo, pixels_to_scored, points_to_pixels, read_tapvid
from fgvc_benchmarks.metrics.queries import Queries, sample_queries_first, sample_queries_strided
from fgvc_deploy.tracks import Tracks


class TapVid(Task[TapVidVideo, Tracks]):
    """TAP-Vid's own names, as fractions; predictions are `Tracks` in pixels of the stored frames."""

    name = "tapvid"
    unit = "fraction"
    counts_visibility = True
    about = "average Jaccard, points within thresholds, occlusion accuracy; ROOT is a pickle or a folder of them"
    protocol_size = f"{SCORED_HW[0]}x{SCORED_HW[1]}"

    def headline(self, options: EvalOptions) -> str:
        """AJ; under `reference` it is 0 by construction, so <delta_avg is reported."""
        return "average_pts_within_thresh" if options.reference else "average_jaccard"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[TapVidVideo]:
        """Videos of the pickles, one at a time."""
        yield from read_tapvid(root)

    def predict(self, clip: TapVidVideo, run: Runs, options: EvalOptions) -> Tracks:
        """All queries of the mode."""
        both_ways = options.query_mode == "strided" and not options.reference
        return run.points(clip.frames, sample(clip, options).queries_tyx, bidirectional=both_ways)

    def score(self, clip: TapVidVideo, prediction: Tracks, options: EvalOptions) -> Scores:
        """On a 256x256 frame."""
        queries, hw = sample(clip, options), clip.frames[0].shape[:2]
        truth, ours = (
            pixels_to_scored(xy, (hw[0], hw[1]), reference=options.reference)
            for xy in (queries.tracks, prediction.tracks)
        )
        frames = np.round(queries.queries_tyx[:, 0]).astype(np.int64)
        return Scores(
            figures=score_points(PointTruth(frames, truth, queries.occluded), ours, prediction.visible, options)
        )

    def marks(self, clip: TapVidVideo, prediction: Tracks, options: EvalOptions) -> Marks:
        """Every query's track; the truth where it is visible."""
        queries = sample(clip, options)
        return Marks(prediction.tracks, prediction.visible & shown(prediction), queries.tracks, ~queries.occluded)

    def fingerprint(self, clip: TapVidVideo) -> str:
        """Of the annotation and of the first frame: hashing whole videos would decode Kinetics twice."""
        return fingerprint((clip.name, len(clip.frames), clip.frames[0], clip.points, clip.occluded))


def sample(clip: TapVidVideo, options: EvalOptions) -> Queries:
    """Queries and their truth in pixels of the stored frames."""
    hw = clip.frames[0].shape[:2]
    pixels = points_to_pixels(clip.points, (hw[0], hw[1]), reference=options.reference)
    return (sample_queries_first if options.query_mode == "first" else sample_queries_strided)(pixels, clip.occluded)
