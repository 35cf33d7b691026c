"""Mutation checks: one launch argument shifted by a place, and tracking no longer gives the CPU's tracks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import FgvcError
from fgvc_deploy.gpu import packing, plans, readout_plans
from fgvc_deploy.gpu.metadata import KernelMetadata
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import kernel_table

from .conftest import Engines
from .test_gpu_tracking import QUERIES_TYX, SAME_PX, tracks

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
FRAMES = 6
# Two points of one group, then a second group, so that single and merged matching both run.
QUERIES = QUERIES_TYX[:2]
# Shifts that change nothing: the neighbour is equal, or any number of frames from the whole list on is one split.
HARMLESS = {("local_topk", "frames"), ("local_topk", "frames_per_split")}


def _shifts() -> list[tuple[str, str, str]]:
    """Every argument of every kernel, with its neighbour of the same size and kind."""
    found = []
    for kernel in POINT_KERNELS:
        parameters = TABLE[kernel][0]
        for (name, kind, _), (other, other_kind, _) in itertools.pairwise(parameters):
            if kind.startswith("*") == other_kind.startswith("*"):
                found.append((kernel, name, other))
    return found


def test_there_are_many_shifts() -> None:
    assert len(_shifts()) > 30


@pytest.mark.parametrize(("kernel", "name", "other"), _shifts())
def test_a_shifted_argument_is_noticed(
    engines: Engines, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, kernel: str, name: str, other: str
) -> None:
    cpu, gpu = engines()
    expected = tracks(clip[:FRAMES], cpu, QUERIES)

    def shifted(metadata: KernelMetadata, values: dict[str, Any]) -> bytes:
        if metadata.kernel == kernel:
            values = values | {name: values[other]}
        return packing.pack(metadata, values)

    for module in (plans, readout_plans):
        monkeypatch.setattr(module, "pack", shifted)
    try:
        found = tracks(clip[:FRAMES], gpu, QUERIES)
    except (FgvcError, ValueError):
        found = None
    monkeypatch.undo()
    noticed = found is None or not np.allclose(found, expected, atol=SAME_PX, equal_nan=True)
    assert noticed != ((kernel, name) in HARMLESS)
