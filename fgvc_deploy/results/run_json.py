"""`RunReport`: run.json, what was run, with what, how fast and what went wrong.  Timing itself is in `stages.py`."""

from __future__ import annotations

import os
import platform
import resource
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pydantic import JsonValue

from fgvc_deploy.errors import SourceFault
from fgvc_deploy.settings import FrozenModel
from fgvc_deploy.stages import StageSummary
from fgvc_deploy.video.base import FrameSource

_PACKAGES = ("fgvc-deploy", "numpy", "av", "pillow", "pydantic", "onnxruntime", "onnxruntime-gpu", "MNN", "tensorrt")


class Machine(FrozenModel):
    """Where the run took place.  `cores` are those this process may use."""

    system: str
    cpu: str
    cores: int
    memory_bytes: int


class SourceInfo(FrozenModel):
    """The clip.  `hw` is (height, width); `frames_announced` is null where the container cannot be trusted."""

    name: str
    hw: tuple[int, int]
    fps: float | None
    frames_announced: int | None
    frames_read: int


class Fault(FrozenModel):
    """Why the run ended early; results cover the frames before `frame_index`."""

    frame_index: int
    message: str


class Usage(FrozenModel):
    """What a run took: wall-clock seconds, processor seconds of all threads, peak resident memory of the process."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


class RunReport(FrozenModel):
    """The content of run.json.  `network_hw` is the (height, width) the encoder sees.

    `stages`: milliseconds by stage (percentiles within 1 %, see `StageTimer`); `frame` spans the stages of the
    tracker, `read` is decoding and `write` drawing and encoding too.  `frames_per_second`: frames read
    divided by wall-clock seconds, everything included: opening, writing and the first, slower, frame.
    """

    schema_version: int = 1
    created: str
    versions: dict[str, str]
    machine: Machine
    source: SourceInfo
    network_hw: tuple[int, int]
    settings: dict[str, JsonValue]
    backends: dict[str, str]
    stages: dict[str, StageSummary]
    usage: Usage
    frames_per_second: float
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"


class UsageMeter:
    """Measures a run from its construction on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Usage:
        """What has been used so far; the memory peak is that of the whole process."""
        return Usage(
            wall_seconds=time.perf_counter() - self._wall,
            cpu_seconds=time.process_time() - self._cpu,
            peak_memory_bytes=peak_memory_bytes(),
        )


def peak_memory_bytes() -> int:
    """Peak resident memory of this process.

    /proc is asked first: getrusage carries the peak of the parent over fork and exec on Linux.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> Machine:
    """Describe the machine this process runs on."""
    return Machine(
        system=platform.platform(),
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def _cpu_name() -> str:
    """The model name; Arm kernels do not print one, the architecture then."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def run_report(
    *,
    source: FrameSource,
    frames_read: int,
    network_hw: tuple[int, int],
    settings: dict[str, JsonValue],
    backends: dict[str, str],
    stages: dict[str, StageSummary],
    usage: Usage,
    fault: SourceFault | None = None,
) -> RunReport:
    """Put a report together; versions, machine and time of day are added here."""
    return RunReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        machine=machine(),
        source=SourceInfo(
            name=source.name,
            hw=source.hw,
            fps=source.fps,
            frames_announced=source.frame_count,
            frames_read=frames_read,
        ),
        network_hw=network_hw,
        settings=settings,
        backends=backends,
        stages=stages,
        usage=usage,
        frames_per_second=frames_read / usage.wall_seconds if usage.wall_seconds else 0.0,
        faults=(Fault(frame_index=fault.frame_index, message=str(fault)),) if fault else (),
    )
