"""Coarse-to-fine on an emulated GPU against the CPU's: pooled cells, their matches, the keys around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import write_bundle
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver

from .conftest import Engines
from .test_gpu_tracking import QUERIES_TYX, SAME_PX, VISIBILITY, tracks

Clip = NDArray[np.uint8]
COARSE: dict[str, Any] = {"mode": "coarse_to_fine", "coarse_radius": 3.0, "fine_radius": 2}


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (1, {}),
        (4, {}),
        (3, {"coarse_scale": 3, "fine_radius": 1, "topk": 4, "memory": 2}),
        (2, {"coarse_scale": 2, "coarse_radius": 1.0, "window": "square", "topk": 16}),
        (2, {"coarse_radius": 40.0, "visibility": VISIBILITY}),
    ],
)
def test_points_as_on_the_cpu(engines: Engines, clip: Clip, count: int, settings: dict[str, Any]) -> None:
    """One group and several, cells that the border cuts (17 x 23 features), windows beyond the map."""
    cpu, gpu = engines(**COARSE | settings)
    assert (cpu.matcher.name, gpu.matcher.name) == ("coarse_to_fine (numpy)", "coarse_to_fine (gpu)")
    found, expected = (tracks(clip[:11], engine, QUERIES_TYX[:count]) for engine in (gpu, cpu))
    np.testing.assert_allclose(found, expected, atol=SAME_PX)


@pytest.mark.parametrize("compat", ["corrected", "reference"])
def test_masks_as_on_the_cpu(engines: Engines, clip: Clip, compat: str) -> None:
    cpu, gpu = engines(**COARSE)
    first = np.zeros(clip.shape[1:3], np.uint8)
    first[8:20, 10:25], first[15:30, 28:40] = 3, 7
    trackers = [MaskTracker(engine, first, compat=compat) for engine in (gpu, cpu)]  # type: ignore[arg-type]
    for frame in clip[:5]:
        found, expected = (tracker.step(frame) for tracker in trackers)
        # fp32 sums in another order.  Where two objects' labels are equal, which wins is left to that.
        mine, theirs = (tracker._propagator.groups[0].labels for tracker in trackers)
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
        assert (found != expected).sum() <= 2


def test_matches_of_host_arrays(engines: Engines) -> None:
    cpu, gpu = engines(**COARSE)
    raw = [np.random.default_rng(i).normal(size=(9, 13, 80)).astype(np.float32) for i in range(4)]
    answers = []
    for engine in (gpu, cpu):
        query, *keys = [engine.matcher.prepare(frame) for frame in raw]
        answers.append(engine.matcher.match(query, keys, Window("circle", 6.0), 10))
    np.testing.assert_allclose(answers[0].scores, answers[1].scores, atol=1e-6)
    np.testing.assert_array_equal(answers[0].positions, answers[1].positions)


def test_it_is_not_the_exact_mode(engines: Engines, clip: Clip) -> None:
    """Or the tests above would show nothing."""
    _, coarse = engines(**COARSE)
    found = tracks(clip[:8], coarse, QUERIES_TYX[:2])
    _, exact = engines()
    assert np.nanmax(np.abs(found - tracks(clip[:8], exact, QUERIES_TYX[:2]))) > 10 * SAME_PX


def test_the_arena_grows_with_its_pooled_features(engines: Engines, clip: Clip, driver: EmulatedDriver) -> None:
    answers = []
    for engine in engines(**COARSE):
        tracker = PointTracker(engine)
        seen = []
        for t, frame in enumerate(clip[:13]):
            if t < 9:
                tracker.add_points([[12.3 + t, 10.6 + t]])
            seen.append(tracker.step(frame).xy)
        answers.append(seen)
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, atol=SAME_PX)
    names = [kernel for kernel, _, _ in driver.launches]
    assert {"pool_cells", "coarse_topk", "refine", "refine_scores", "merge_topk"} <= set(names)
    assert not {"local_topk", "local_topk_scores"} & set(names)


def test_steps_are_replayed(engines: Engines, clip: Clip) -> None:
    _, gpu = engines(**COARSE)
    long_clip = np.concatenate([clip, clip[::-1]])
    recorded = tracks(long_clip, gpu, QUERIES_TYX[:1])
    assert gpu.session.steps.replayed > len(long_clip) // 2
    _, plain = engines(record=False, **COARSE)
    np.testing.assert_array_equal(recorded, tracks(long_clip, plain, QUERIES_TYX[:1]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"coarse_scale": 2}, "a coarse scale of 4, not 2"),
        ({"fine_radius": 3}, "a fine radius of 2, not 3"),
        ({"topk": 5}, "k 10, not 5"),
    ],
)
def test_kernels_of_other_settings_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    encoder, settings = EncoderSettings(arch="toy", stride=4, channels=32), PropagationSettings(**COARSE)
    bundle = write_bundle(gpu_draft(encoder, settings), tmp_path / "bundle")
    with GpuSession(EmulatedDriver(), bundle) as session, session.working():
        with pytest.raises(BackendError, match=said):
            TrackingKernels.of(session.kernels, encoder, settings.model_copy(update=change))
        # Windows and the coarse radius are not compiled in.
        free = settings.model_copy(update={"coarse_radius": 2.0, "radius": 3.0, "window": "square"})
        assert TrackingKernels.of(session.kernels, encoder, free).coarse is not None
        exact = settings.model_copy(update={"mode": "local"})
        assert TrackingKernels.of(session.kernels, encoder, exact).coarse is None
