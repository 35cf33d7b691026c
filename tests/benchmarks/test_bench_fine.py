"""A tracker with the fine stage under `bench latency`: labels are judged without it, unrefined points beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_benchmarks.subjects.tracker import TrackerStep


@pytest.fixture
def subject(toy_bundle: Path) -> TrackerStep:
    params = {
        "bundle": str(toy_bundle),
        "size": [64, 80],
        "points": 9,
        "backend": "auto",
        "settings": {"fine": "patch"},
    }
    return TrackerStep(params, 1)


def test_the_check_holds_and_the_timed_tracker_refines(subject: TrackerStep) -> None:
    labels, alone = subject.check()
    assert (labels.figure, alone.figure) == ("tracks", "points not refined")
    assert labels.passed, labels
    assert alone.passed, alone
    assert {"picture", "fine"} <= set(subject.run().stages)


def test_a_fine_stage_that_moves_what_it_did_not_refine_is_found(
    subject: TrackerStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = subject._tracker.step

    def wrong(frame: Any) -> Any:
        result = right(frame)
        return result._replace(xy=result.xy + np.float32(0.01), refined=np.zeros_like(result.refined))

    monkeypatch.setattr(subject._tracker, "step", wrong)
    labels, alone = subject.check()
    assert labels.passed
    assert not alone.passed
