"""Fixtures of the pytest-benchmark files: `pytest benchmarks --benchmark-enable`.

The normal test run neither collects these files nor times anything.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fgvc_deploy.model import DEFAULT_BUNDLE
from fgvc_deploy.propagation.threads import worker_count


@pytest.fixture(scope="session")
def threads() -> int:
    """As many threads as this process may use, or FGVC_BENCH_THREADS."""
    wanted = os.environ.get("FGVC_BENCH_THREADS")
    return worker_count(int(wanted) if wanted else None)


@pytest.fixture(scope="session")
def bundle_path() -> Path:
    """The bundle that FGVC_BENCH_BUNDLE names, or the one shipped with the package."""
    path = Path(os.environ.get("FGVC_BENCH_BUNDLE", DEFAULT_BUNDLE))
    if not path.exists():
        pytest.skip(f"no bundle at {path}: set FGVC_BENCH_BUNDLE")
    return path
