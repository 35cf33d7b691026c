"""Mutation checks: one launch argument shifted by a place, and tracking no longer gives the CPU's tracks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import FgvcError
from fgvc_deploy.gpu import packing, plans, readout_plans
from fgvc_deploy.gpu.metadata import KernelMetadata
from fgvc_deploy.pipeline import mask_frames
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from gpu_kernel_table import kernel_table

from .conftest import Engines
from .test_gpu_tracking import QUERIES_TYX, SAME_PX, VISIBILITY, tracks

TABLE = kernel_table(EncoderSettings(arch="toy", stride=2, channels=80), PropagationSettings())
POINT_KERNELS = (
    "local_topk",
    "local_topk_scores",
    "merge_topk",
    "propagate",
    "normalise",
    "readout_bounds",
    "readout",
)
APPEARANCE_KERNELS = ("label_mass", "appearance")
COARSE_KERNELS = ("pool_cells", "coarse_topk", "refine", "refine_scores")
MASK_KERNELS = ("mask_ranges", "argmax_masks")
FRAMES = 6
# Two points of one group, then a second group, so that single and merged matching both run.
QUERIES = QUERIES_TYX[:2]
# Shifts that change nothing: the neighbour is equal, or any number of frames from the whole list on is one split.
# A mask's kernel needs the height only for the row below the last, which weighs 0; in a frame of odd height no point
# lies below the last feature.
HARMLESS = {
    ("local_topk", "frames"),
    ("local_topk", "frames_per_split"),
    ("refine", "frames"),
    ("appearance", "height"),
    ("mask_ranges", "height"),
    ("argmax_masks", "height"),
}


def _shifts(kernels: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Every argument of some kernels, with its neighbour of the same size and kind."""
    found = []
    for kernel in kernels:
        parameters = TABLE[kernel][0]
        for (name, kind, _), (other, other_kind, _) in itertools.pairwise(parameters):
            if kind.startswith("*") == other_kind.startswith("*"):
                found.append((kernel, name, other))
    return found


def test_there_are_many_shifts() -> None:
    assert len(_shifts((*TABLE,))) > 90
    assert set(TABLE) == {*POINT_KERNELS, *APPEARANCE_KERNELS, *COARSE_KERNELS, *MASK_KERNELS}


@contextmanager
def _shifted(kernel: str, name: str, other: str) -> Iterator[None]:
    """While this lasts, launches of a kernel are given one argument's value in the place of its neighbour's."""

    def pack(metadata: KernelMetadata, values: dict[str, Any]) -> bytes:
        return packing.pack(metadata, values | {name: values[other]} if metadata.kernel == kernel else values)

    with pytest.MonkeyPatch.context() as patch:
        for module in (plans, readout_plans):
            patch.setattr(module, "pack", pack)
        yield


@pytest.mark.parametrize(("kernel", "name", "other"), _shifts(POINT_KERNELS))
def test_a_shifted_argument_is_noticed(
    engines: Engines, clip: NDArray[np.uint8], kernel: str, name: str, other: str
) -> None:
    cpu, gpu = engines()
    expected = tracks(clip[:FRAMES], cpu, QUERIES)
    found = None
    with _shifted(kernel, name, other), suppress(FgvcError, ValueError):
        found = tracks(clip[:FRAMES], gpu, QUERIES)
    noticed = found is None or not np.allclose(found, expected, atol=SAME_PX, equal_nan=True)
    assert noticed != ((kernel, name) in HARMLESS)


@pytest.mark.parametrize(("kernel", "name", "other"), _shifts(COARSE_KERNELS))
def test_a_shifted_argument_of_coarse_to_fine_is_noticed(
    engines: Engines, clip: NDArray[np.uint8], kernel: str, name: str, other: str
) -> None:
    cpu, gpu = engines(mode="coarse_to_fine", coarse_radius=3.0, fine_radius=2)
    expected = tracks(clip[:FRAMES], cpu, QUERIES)
    found = None
    with _shifted(kernel, name, other), suppress(FgvcError, ValueError):
        found = tracks(clip[:FRAMES], gpu, QUERIES)
    noticed = found is None or not np.allclose(found, expected, atol=SAME_PX, equal_nan=True)
    assert noticed != ((kernel, name) in HARMLESS)


@pytest.mark.parametrize(("kernel", "name", "other"), _shifts(APPEARANCE_KERNELS))
def test_a_shifted_argument_of_visibility_is_noticed(
    engines: Engines, clip: NDArray[np.uint8], kernel: str, name: str, other: str
) -> None:
    cpu, gpu = engines(visibility=VISIBILITY)
    expected = _sure(cpu, clip)
    found = None
    with _shifted(kernel, name, other), suppress(FgvcError, ValueError):
        found = _sure(gpu, clip)
    noticed = found is None or not np.allclose(found, expected, atol=1e-4, equal_nan=True)
    assert noticed != ((kernel, name) in HARMLESS)


def _sure(engine: Engine, clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Confidence on some frames; one point at the lower border, so that the height matters."""
    tracker = PointTracker(engine)
    tracker.add_points([[20.3, 12.4], [41.6, 31.8], [44.2, 4.3]])
    return np.stack([tracker.step(frame).confidence for frame in clip[:FRAMES]])


@pytest.mark.parametrize(("kernel", "name", "other"), _shifts(MASK_KERNELS))
def test_a_shifted_argument_of_a_mask_is_noticed(
    engines: Engines, clip: NDArray[np.uint8], kernel: str, name: str, other: str
) -> None:
    cpu, gpu = engines()
    first = np.zeros(clip.shape[1:3], np.uint8)
    first[8:20, 10:25], first[15:30, 28:40] = 3, 7
    expected = [r.mask for r in mask_frames(clip[:3], MaskTracker(cpu, first))]
    found = None
    with _shifted(kernel, name, other), suppress(FgvcError, ValueError):
        found = [r.mask for r in mask_frames(clip[:3], MaskTracker(gpu, first))]
    noticed = found is None or (np.stack(found) != np.stack(expected)).mean() > 1e-3
    assert noticed or (kernel, name) in HARMLESS
