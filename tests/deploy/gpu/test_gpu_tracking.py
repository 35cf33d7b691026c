"""The whole step on an emulated GPU against the CPU run time: memory, groups, labels, read-out.

The emulated kernels follow the kernels' contract in NumPy and are run only when somebody waits, so these tests are
about orchestration: which frames, which places, which launches, in which order.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.trackers.points import PointTracker

from .conftest import Engines

Clip = NDArray[np.uint8]
# Two groups that start together with later ones, one on the last frame.
QUERIES_TYX = np.array([[0, 20, 30], [3, 30, 41.5], [0, 33, 22], [4, 12, 12], [23, 30, 50]], np.float32)
# Same arithmetic in another order of summation; the read-out's lattice of 0.2 px would show a wrong match.
SAME_PX = 2e-3


def _tracks(clip: Clip, engine: Engine, queries: NDArray[np.float32], **options: object) -> NDArray[np.float32]:
    tracker = PointTracker(engine, **options)  # type: ignore[arg-type]
    return np.stack([r.xy for r in point_frames(clip, tracker, queries)], axis=1)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("compat", ["corrected", "reference"])
@pytest.mark.parametrize("count", [1, 5])
def test_points_as_on_the_cpu(engines: Engines, clip: Clip, count: int, compat: str, overlap: bool) -> None:
    cpu, gpu = engines()
    cpu.overlap = gpu.overlap = overlap
    queries = QUERIES_TYX[:count]
    found, expected = (_tracks(clip, engine, queries, compat=compat) for engine in (gpu, cpu))
    np.testing.assert_allclose(found, expected, atol=SAME_PX)
    print("replayed", gpu.session.steps.replayed)
    assert gpu.session.steps.replayed >= (10 if count == 1 else 3)
    gpu.session.close()
