"""What a subject is: something that checks its own correctness, then runs once at a time under a stopwatch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from fgvc_benchmarks.timing import Sample
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.errors import ParityError

Params = Mapping[str, Any]


class Subject(Protocol):
    """Made from JSON parameters and a number of threads; raises BackendError when it cannot run here.

    `facts` are what the record should say beside the times.
    """

    facts: dict[str, Any]

    def check(self) -> list[ParityFigure]:
        """Compare with a reference; nothing is timed unless every figure passed."""
        ...

    def run(self) -> Sample:
        """Execute once, in the steady state."""
        ...


def at_most(figure: str, value: float, budget: float, unit: str, detail: str = "") -> ParityFigure:
    """A parity figure that must not exceed its budget; raises ParityError when it is no number."""
    if not math.isfinite(value):
        raise ParityError(f"{figure}: the difference from the reference is {value}")
    passed = bool(value <= budget)
    return ParityFigure(figure=figure, value=value, budget=budget, unit=unit, passed=passed, detail=detail)
