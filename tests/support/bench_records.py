"""Made-up benchmark records for tests of what is done with records; no figure here was measured."""

from __future__ import annotations

from typing import Any

from fgvc_benchmarks.provenance import Commit, Configuration, ModelFacts
from fgvc_benchmarks.records import Ratio, Record, measurement
from fgvc_benchmarks.subjects.base import at_most
from fgvc_benchmarks.timing import Sample
from fgvc_deploy.results.run_json import Machine

PASSED = at_most("tracks", 1e-5, 1e-3, "px")


def configuration(suite: str = "kernels", **changes: Any) -> Configuration:
    base = Configuration(
        suite=suite,
        machine=Machine(system="Linux", cpu="Test CPU", cores=2, memory_bytes=2**34),
        isa=("avx2",),
        versions={"python": "3.11.7", "numpy": "2.4.6"},
        commit=Commit(sha="a" * 40, dirty=False, sources_sha256="b" * 64),
        model=ModelFacts(sha256="c" * 64, arch="toy", stride=2, channels=8, weights="random"),
        threads=2,
        rounds=3,
        removed_environment=(),
    )
    return base.model_copy(update=changes)


def record(case: str, seconds: float, **changes: Any) -> Record:
    """A measured case of `seconds` with three samples around it."""
    samples = [Sample(seconds * f, 1.8 * seconds * f, {"encode": 0.5 * seconds * f}) for f in (0.9, 1.0, 1.2)]
    fields: dict[str, Any] = {
        "configuration": configuration(),
        "group": "g",
        "run": "r1",
        "started": "2026-01-01T00:00:00+00:00",
        "other_cores": 0.05,
        "case": case,
        "params": {"subject": "tracker"},
        "facts": {"useful_gflop": 10.0, "encoder": "e", "propagation": "p"},
        "status": "ok",
        "parity": (PASSED,),
        "measurement": measurement(samples, 1, 10**8),
    }
    return Record(**(fields | changes))


def failed(case: str, reason: str = "tracks: 3 px is over 0.001", **changes: Any) -> Record:
    """A case whose parity check failed."""
    return record(case, 1.0, status="failed", reason=reason, measurement=None, facts={}, parity=(), **changes)


def ratio(value: float, to: str = "base") -> Ratio:
    return Ratio(to=to, value=value, low=0.9 * value, high=1.1 * value)
