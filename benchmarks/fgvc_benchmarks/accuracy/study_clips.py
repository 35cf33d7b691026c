"""Clips that settings are chosen on: none of them belongs to a benchmark that scores are published for.

The planar clip; masks of the training sequences that training/configs/edge.toml holds out, every second frame; cycle
consistency on those sequences and on unlabelled videos; synthetic scenes of the calibration split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgvc_benchmarks.accuracy.base import EvalOptions, Task
from fgvc_benchmarks.accuracy.tasks import synthetic
from fgvc_benchmarks.accuracy.tasks.cycle import Cycle, CycleClip, first_frames
from fgvc_benchmarks.accuracy.tasks.davis import Davis
from fgvc_benchmarks.accuracy.tasks.planar import Planar
from fgvc_benchmarks.accuracy.tasks.synthetic import SPLITS, Synthetic
from fgvc_benchmarks.datasets.davis import DavisSequence, read_davis
from fgvc_benchmarks.datasets.frames import FrameFiles
from fgvc_deploy.video.source import open_source

EVERY, MOST_FRAMES = 2, 24
"""Of the masks: every second frame, up to 24 of them."""
SCENES = 6
HELD_OUT = tuple(name for names in SPLITS.values() for name in names)


def study_clips(data: Path) -> Iterator[tuple[Task[Any, Any], Any]]:
    """Each task with one clip after another."""
    planar, masks, cycle, scenes = Planar(), Davis(), Cycle(), Synthetic()
    yield from ((planar, clip) for clip in planar.clips(data / "planar_video", EvalOptions()))
    held_out = [s for s in read_davis(data / "davis16_train256", resolution="") if s.name in HELD_OUT]
    yield from ((masks, thinned(sequence)) for sequence in held_out)
    for sequence in held_out[::2]:
        yield cycle, _opened(sequence.frames.paths[0].parent)
    for path in sorted((data / "videos").glob("*.mp4")):
        yield cycle, _opened(path)
    videos = synthetic.source_videos(data / "davis16_train256", "calibration")
    yield from ((scenes, synthetic.make_clip(videos, f"calibration_{n:02d}")) for n in range(SCENES))


def thinned(sequence: DavisSequence) -> DavisSequence:
    """Every second frame of a sequence, not too many."""
    chosen = slice(0, EVERY * MOST_FRAMES, EVERY)
    return DavisSequence(sequence.name, FrameFiles(sequence.frames.paths[chosen]), sequence.mask_paths[chosen])


def _opened(path: Path) -> CycleClip:
    with open_source(path) as source:
        return CycleClip(path.name, first_frames(source))
