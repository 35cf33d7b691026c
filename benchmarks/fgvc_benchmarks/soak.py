"""Ten thousand frames in a row: memory must not grow and no file stay open; how long a frame takes.

    python -m fgvc_benchmarks.soak --frames 10000

Three phases of so many frames, in one process: a stream of generated frames, stepped in turn while points come and
go; a generated H.264 file read again and again; the same file tracked as whole videos, encoding one frame ahead.
The record goes to benchmarks/results/soak.json; the exit code is 1 when a phase grew by 5 MB or left a file open.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fgvc_deploy
from fgvc_benchmarks.inputs import grid_points, scene
from fgvc_benchmarks.provenance import ROOT, configuration
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.propagation.threads import worker_count
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.source import open_source
from fgvc_deploy.video.writer import VideoWriter

RESULT = ROOT / "benchmarks" / "results" / "soak.json"
# Before this frame the memory ring, the libraries' pools and Python's caches fill up.
SETTLED = 200
EVERY = 100
BUDGET_BYTES = 5 * 10**6
POINTS, REPLACED_EVERY = 16, 150
VIDEO_FRAMES = 250


class Reading(NamedTuple):
    """What the process holds after so many frames."""

    frame: int
    resident_bytes: int
    open_files: int


def main() -> int:
    """Run the phases and write the record; 1 when one of them is over its budget."""
    arguments = _arguments()
    model = fgvc_deploy.load(arguments.model, threads=arguments.threads)
    hw = (arguments.side, arguments.side)
    threads = worker_count(arguments.threads)
    described = configuration("soak", threads=threads, rounds=1, bundle=model.bundle, removed_environment=())
    new_tracker = partial(model.point_tracker, size="native", backend=arguments.backend)
    with tempfile.TemporaryDirectory() as folder:
        video = write_video(Path(folder) / "scene.mp4", hw)
        phases = {
            "stream": stream(new_tracker(), hw, arguments.frames),
            "decode": decode(video, arguments.frames),
            "videos": videos(new_tracker, video, hw, arguments.frames),
        }
        measured = {name: measure(phase, arguments.frames) for name, phase in phases.items()}
    engine = model.engine(arguments.backend)
    setting = {"side": arguments.side, "points": POINTS, "backends": [engine.encoder.name, engine.matcher.name]}
    record = {"configuration": described.model_dump(mode="json"), **setting, **measured}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, phase in measured.items():
        print(f"{name}: {phase['verdict']}")
    return 0 if all(phase["passed"] for phase in measured.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000, help="frames of each phase")
    parser.add_argument("--side", type=int, default=96, help="width and height of the frames")
    parser.add_argument("--threads", type=int, default=None, help="threads; default: all cores")
    parser.add_argument("--backend", default="auto", help="as in `fgvc-deploy run`")
    parser.add_argument("--model", type=Path, default=None, help="bundle; default: the one shipped")
    parser.add_argument("--out", type=Path, default=RESULT, help="the record (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.frames < 2 * SETTLED:
        parser.error(f"--frames must be at least {2 * SETTLED}: the first {SETTLED} are for settling")
    return arguments


def stream(tracker: PointTracker, hw: tuple[int, int], frames: int) -> Iterator[None]:
    """Step a tracker; every 150 frames half of the points are replaced, so that groups come and go."""
    for number, frame in enumerate(itertools.islice(scene(hw), frames)):
        if number % REPLACED_EVERY == 0:
            tracker.add_points(grid_points(hw, POINTS // 2))
            tracker.remove_points(tracker.ids[:-POINTS])
        tracker.step(frame)
        yield


def decode(video: Path, frames: int) -> Iterator[None]:
    """Open and read the file as often as it takes."""
    for _ in range(-(-frames // VIDEO_FRAMES)):
        with open_source(video) as source:
            for _ in source:
                yield


def videos(new_tracker: Callable[[], PointTracker], video: Path, hw: tuple[int, int], frames: int) -> Iterator[None]:
    """Track the file from start to end as often as it takes, as `Model.track` does."""
    queries = np.insert(grid_points(hw, POINTS)[:, ::-1], 0, 0, axis=1)
    for _ in range(-(-frames // VIDEO_FRAMES)):
        with open_source(video) as source:
            for _ in point_frames(source, new_tracker(), queries):
                yield


def write_video(path: Path, hw: tuple[int, int]) -> Path:
    """An H.264 file of 250 frames of the moving scene."""
    with VideoWriter(path, 25.0, hw) as writer:
        for frame in itertools.islice(scene(hw), VIDEO_FRAMES):
            writer.write(frame)
    return path


def measure(phase: Iterator[None], frames: int) -> dict[str, Any]:
    """Run a phase: a reading every 100 frames, and the milliseconds between one frame and the next."""
    readings = [read_process(0)]
    times = np.zeros(frames)
    clock = time.perf_counter()
    for number, _ in enumerate(itertools.islice(phase, frames)):
        now = time.perf_counter()
        times[number], clock = 1e3 * (now - clock), now
        if (number + 1) % EVERY == 0:
            readings.append(read_process(number + 1))
            clock = time.perf_counter()
    settled = [reading for reading in readings if reading.frame >= SETTLED]
    growth = max(reading.resident_bytes for reading in settled) - settled[0].resident_bytes
    leaked = max(reading.open_files for reading in settled) - settled[0].open_files
    p50, p95, p99 = np.percentile(times[SETTLED:], (50, 95, 99))
    passed = growth < BUDGET_BYTES and leaked <= 0
    return {
        "passed": passed,
        "verdict": f"{frames} frames, {growth / 1e6:+.2f} MB after frame {SETTLED}, {leaked:+d} open files, "
        f"p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms" + ("" if passed else ": over budget"),
        "growth_bytes": growth,
        "leaked_files": leaked,
        "ms": {"p50": p50, "p95": p95, "p99": p99, "max": float(times[SETTLED:].max())},
        "readings": [reading._asdict() for reading in readings],
    }


def read_process(frame: int) -> Reading:
    """Resident memory and open files of this process (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Reading(frame, pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir())))


if __name__ == "__main__":
    sys.exit(main())
