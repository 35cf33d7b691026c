"""Was the machine quiet?  How many cores everything but the measured processes used meanwhile.

A load average cannot tell: it counts the measured processes too, and lags by a minute.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# From here on another process takes a visible part of a sample; a warning is printed.
NOTICEABLE_CORES = 0.15
_IDLE = (3, 4)  # columns idle and iowait of /proc/stat


class Bystanders:
    """The answer; `cores` is None until the block ends, and where Linux's /proc cannot be read."""

    def __init__(self) -> None:
        self.cores: float | None = None


@contextmanager
def watch_bystanders(pids: Iterable[int]) -> Iterator[Bystanders]:
    """Measure over the block what is used by neither these processes nor this one; stolen time counts."""
    own = [os.getpid(), *pids]
    found = Bystanders()
    start, before = time.perf_counter(), _others(own)
    yield found
    after, seconds = _others(own), time.perf_counter() - start
    if before is not None and after is not None and seconds > 0:
        found.cores = max(0.0, (after - before) / seconds)


def _others(own: list[int]) -> float | None:
    """Processor seconds used on the whole machine since it started, less those of the processes `own`."""
    try:
        return _machine_seconds() - sum(_process_seconds(pid) for pid in own)
    except (OSError, ValueError, IndexError):
        return None


def _machine_seconds() -> float:
    columns = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    busy = sum(value for column, value in enumerate(columns) if column not in _IDLE)
    return busy / os.sysconf("SC_CLK_TCK")


def _process_seconds(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The name in parentheses may hold spaces; utime and stime are fields 14 and 15 of the line.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
