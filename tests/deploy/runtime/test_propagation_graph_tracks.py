"""Tracking by the portable graph: the goldens of the reference, and the NumPy backend in both compat modes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.labels.gaussian import gaussian_labels
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.settings import Compat
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from portable_graph import graph_backend
from stepwise import LABEL_BUDGET, stepwise

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
EngineFactory = Callable[..., Engine]


def by_graph(engine: Engine) -> Engine:
    return dataclasses.replace(engine, matcher=graph_backend())


def test_label_maps_equal_forward_test(goldens: Goldens, parity: Parity, reference_engine: EngineFactory) -> None:
    """Memory of 1 to 6 frames, the first one twice while it is also recent."""
    golden, clip = goldens("f_forward_test_clip64"), goldens("clips")["clip64"]
    queries = golden["query_points_txy"][0]
    start = int(queries[:, 0].min())
    expected = golden[f"seg_logits_t{start}"]
    first = gaussian_labels(queries[queries[:, 0] == start][:, 1:], clip.shape[1:3], 6.0, 2)
    stored = expected.reshape(*expected.shape[:2], -1).transpose(0, 2, 1)
    step = stepwise(by_graph(reference_engine()), first, clip[start:], stored)
    case = f"clip64 label maps from t={start}, portable graph"
    parity(group="f", case=case, value=step.error, budget=LABEL_BUDGET, unit="label", note=step.note)


@pytest.mark.parametrize("compat", ["corrected", "reference"])
@pytest.mark.parametrize("starts", [(0, 0), (0, 3)], ids=["one group", "two groups"])
def test_points_go_where_numpy_takes_them(
    compat: Compat, starts: tuple[int, int], quick_engine: EngineFactory, moving_clip: NDArray[np.uint8]
) -> None:
    queries = np.array([[starts[0], 30.0, 25.0], [starts[1], 40.0, 50.0], [0, 12.0, 60.0]], np.float32)
    xy = []
    for engine in (quick_engine(), by_graph(quick_engine())):
        frames = point_frames(moving_clip, PointTracker(engine, compat=compat), queries)
        xy.append(np.stack([frame.xy for frame in frames]))
    assert np.nanmax(np.abs(xy[0][-1] - xy[0][3])) > 5
    # Sums in another order change labels by 1e-6, which moves the mean of the highest by less than this.
    np.testing.assert_allclose(xy[1], xy[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("compat", ["corrected", "reference"])
def test_masks_go_where_numpy_takes_them(
    compat: Compat, quick_engine: EngineFactory, moving_clip: NDArray[np.uint8]
) -> None:
    first = np.zeros(moving_clip.shape[1:3], np.uint8)
    first[20:40, 20:45] = 3
    masks = []
    for engine in (quick_engine(), by_graph(quick_engine())):
        tracker = MaskTracker(engine, first, compat=compat)
        masks.append(np.stack([tracker.step(frame) for frame in moving_clip]))
    assert (masks[0][-1] != masks[0][0]).mean() > 0.02
    assert (masks[1] != masks[0]).mean() < 1e-4
