"""The table of subjects: the name a case uses, and the class behind it, imported only where it is measured."""

from __future__ import annotations

import importlib
from typing import cast

from fgvc_benchmarks.subjects.base import Params, Subject

SUBJECTS = {
    "sgemm": "fgvc_benchmarks.gemm:Sgemm",
    "propagation": "fgvc_benchmarks.subjects.propagation:Propagation",
    "dense_propagation": "fgvc_benchmarks.subjects.dense_propagation:DensePropagation",
    "tracker": "fgvc_benchmarks.subjects.tracker:TrackerStep",
    "stream": "fgvc_benchmarks.subjects.stream:Stream",
    "dense_tracker": "fgvc_benchmarks.subjects.dense_tracker:DenseTrackerStep",
}


def create(name: str, params: Params, threads: int) -> Subject:
    """Make the subject `name`; KeyError for a name that is not in the table."""
    module, _, attribute = SUBJECTS[name].partition(":")
    return cast(Subject, getattr(importlib.import_module(module), attribute)(params, threads))
