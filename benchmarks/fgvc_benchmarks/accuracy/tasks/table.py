"""The table of data sets that `fgvc-deploy eval` knows."""

from __future__ import annotations

from typing import Any

from fgvc_benchmarks.accuracy.base import Task
from fgvc_benchmarks.accuracy.tasks.badja import Badja
from fgvc_benchmarks.accuracy.tasks.cycle import Cycle
from fgvc_benchmarks.accuracy.tasks.davis import Davis
from fgvc_benchmarks.accuracy.tasks.flow import Flow
from fgvc_benchmarks.accuracy.tasks.jhmdb import Jhmdb
from fgvc_benchmarks.accuracy.tasks.planar import Planar
from fgvc_benchmarks.accuracy.tasks.synthetic import Synthetic
from fgvc_benchmarks.accuracy.tasks.tapvid import TapVid
from fgvc_deploy.errors import InputError

TASKS: dict[str, Task[Any, Any]] = {
    task.name: task for task in (TapVid(), Badja(), Jhmdb(), Davis(), Planar(), Flow(), Synthetic(), Cycle())
}


def find_task(name: str) -> Task[Any, Any]:
    """The task of a data set.  Raises InputError for an unknown one."""
    if name not in TASKS:
        raise InputError(f"there is no data set {name!r}; choose from {', '.join(TASKS)}.")
    return TASKS[name]
