"""Mutation checks: one launch argument shifted by a place, and a run no longer gives what the CPU gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import FgvcError
from fgvc_deploy.gpu.cubins import packing
from fgvc_deploy.gpu.cubins.metadata import KernelMetadata
from fgvc_deploy.gpu.launches import plans, readout_plans
from fgvc_deploy.pipeline import mask_frames
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from gpu_kernel_table import kernel_table

from .conftest import Engines
from .test_gpu_tracking import QUERIES_TYX, SAME_PX, VISIBILITY, tracks

TABLE = kernel_table(EncoderSettings(arch="toy", stride=2, channels=80), PropagationSettings())
FRAMES = 6
# Two points of one group, then a second group, so that single and merged matching both run.
QUERIES = QUERIES_TYX[:2]
Clip = NDArray[np.uint8]


def _positions(engine: Engine, clip: Clip) -> NDArray[Any]:
    return tracks(clip[:FRAMES], engine, QUERIES)


def _confidence(engine: Engine, clip: Clip) -> NDArray[Any]:
    tracker = PointTracker(engine)
    tracker.add_points([[20.3, 12.4], [41.6, 31.8]])
    return np.stack([tracker.step(frame).confidence for frame in clip[:FRAMES]])


def _masks(engine: Engine, clip: Clip) -> NDArray[Any]:
    first = np.zeros(clip.shape[1:3], np.uint8)
    first[8:20, 10:25], first[15:30, 28:40] = 3, 7
    return np.stack([r.mask for r in mask_frames(clip[:3], MaskTracker(engine, first))])


class Run(NamedTuple):
    """What launches some kernels; right as long as at most `share` of the values are off the CPU's by over `atol`."""

    kernels: tuple[str, ...]
    values: Callable[[Engine, Clip], NDArray[Any]]
    settings: dict[str, Any]
    atol: float
    share: float = 0.0

    def wrong(self, found: NDArray[Any], expected: NDArray[Any]) -> bool:
        return bool(np.mean(~np.isclose(found, expected, atol=self.atol, equal_nan=True)) > self.share)


RUNS = {
    "points": Run(
        (
            "local_topk",
            "local_topk_scores",
            "merge_topk",
            "propagate",
            "normalise",
            "readout_bounds",
            "readout",
        ),
        _positions,
        {},
        SAME_PX,
    ),
    "coarse_to_fine": Run(
        ("pool_cells", "coarse_topk", "refine", "refine_scores"),
        _positions,
        {"mode": "coarse_to_fine", "coarse_radius": 3.0, "fine_radius": 2},
        SAME_PX,
    ),
    "visibility": Run(("label_mass", "appearance"), _confidence, {"visibility": VISIBILITY}, 1e-4),
    # A pixel on the border of two labels may go to either.
    "masks": Run(("mask_ranges", "argmax_masks"), _masks, {}, 0, share=1e-3),
}
# Shifts that change nothing: the neighbour is equal, or any number of frames from the whole list on is one split.
# In a frame of odd height no point lies below the last feature.
HARMLESS = {
    ("local_topk", "frames"),
    ("local_topk", "frames_per_split"),
    ("refine", "frames"),
    ("appearance", "height"),
}


def _shifts() -> list[tuple[str, str, str, str]]:
    """Run, kernel, argument and its neighbour of the same size and kind, for every argument that has one."""
    return [
        (run, kernel, name, other)
        for run, (kernels, *_) in RUNS.items()
        for kernel in kernels
        for (name, kind, _), (other, other_kind, _) in itertools.pairwise(TABLE[kernel][0])
        if kind.startswith("*") == other_kind.startswith("*")
    ]


def test_there_are_many_shifts() -> None:
    shifts = _shifts()
    assert len(shifts) > 90
    assert {kernel for run in RUNS.values() for kernel in run.kernels} == set(TABLE)
    assert {(kernel, name) for _, kernel, name, _ in shifts} >= HARMLESS


@contextmanager
def _shifted(kernel: str, name: str, other: str) -> Iterator[None]:
    """While this lasts, launches of a kernel are given one argument's value in the place of its neighbour's."""

    def pack(metadata: KernelMetadata, values: dict[str, Any]) -> bytes:
        return packing.pack(metadata, values | {name: values[other]} if metadata.kernel == kernel else values)

    with pytest.MonkeyPatch.context() as patch:
        for module in (plans, readout_plans):
            patch.setattr(module, "pack", pack)
        yield


@pytest.mark.parametrize("run", RUNS)
def test_unshifted_arguments_give_what_the_cpu_gives(engines: Engines, clip: Clip, run: str) -> None:
    cpu, gpu = engines(**RUNS[run].settings)
    assert not RUNS[run].wrong(RUNS[run].values(gpu, clip), RUNS[run].values(cpu, clip))


@pytest.mark.parametrize(("run", "kernel", "name", "other"), _shifts())
def test_a_shifted_argument_is_noticed(
    engines: Engines, clip: Clip, run: str, kernel: str, name: str, other: str
) -> None:
    cpu, gpu = engines(**RUNS[run].settings)
    expected = RUNS[run].values(cpu, clip)
    found = None
    # The emulated driver refuses some.
    with _shifted(kernel, name, other), suppress(FgvcError, ValueError):
        found = RUNS[run].values(gpu, clip)
    noticed = found is None or RUNS[run].wrong(found, expected)
    assert noticed != ((kernel, name) in HARMLESS)
