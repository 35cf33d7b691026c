"""Run a job: read the source, step the tracker, write results that are complete or absent.

A video that breaks and a run that is stopped (Ctrl-C, SIGTERM, SIGHUP) keep every finished frame; any other error
leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fgvc_deploy.console import Reporter
from fgvc_deploy.errors import SourceFault, Stopped
from fgvc_deploy.job.interrupts import Interruption, Interrupts
from fgvc_deploy.job.options import Job
from fgvc_deploy.job.tasks import Task, mask_task, point_task
from fgvc_deploy.model import Model, load
from fgvc_deploy.results import ResultsFolder, RunReport, StageTimer, UsageMeter, run_report
from fgvc_deploy.video.base import Frame, FrameSource
from fgvc_deploy.video.source import open_source
from fgvc_deploy.video.writer import VideoWriter

DEFAULT_FPS = 25.0
_STOPPING = "Stopping after this frame and saving what is finished; once more to give it up."


def run_job(job: Job, reporter: Reporter) -> None:
    """Do the job and report.

    Raises the errors of `fgvc_deploy.errors`; after a SourceFault or Stopped the results of the frames before it have
    been committed, unless there was no such frame.
    """
    meter = UsageMeter()
    job.check()
    model = load(job.model, threads=job.threads)
    with (
        ResultsFolder(job.folder, overwrite=job.overwrite, keep=job.inputs()) as folder,
        open_source(job.source) as video,
        Interrupts(lambda: reporter.say(_STOPPING)) as interrupts,
    ):
        make = mask_task if job.kind == "mask" else point_task
        task = make(job, model, video, folder)
        count, stopped = _drive(job, task, video, folder, reporter, interrupts)
        if stopped and count == 0:
            raise _as_error(stopped, "no frame was finished, so nothing is kept")
        report = _report(job, model, task, video, count, stopped, meter)
        folder.write_text("run.json", report.to_json())
        out = folder.commit()
    reporter.say(_summary(report, str(out)))
    reporter.result({"out": str(out), "frames": count, **task.counts(), "report": report.model_dump(mode="json")})
    if stopped:
        raise _as_error(stopped, f"{_frames(count)} done, kept in {out}")


def _as_error(stopped: SourceFault | Interruption, kept: str) -> SourceFault | Stopped:
    """What the caller gets to see: a fault explains itself."""
    if isinstance(stopped, SourceFault):
        return stopped
    return Stopped(f"{_what_happened(stopped)}: {kept}.", 128 + stopped.number)


def _what_happened(stopped: Interruption) -> str:
    """How the run was stopped, and what the pipeline noted about frames that were kept unfinished."""
    return "; ".join([str(stopped), *getattr(stopped, "__notes__", [])])


def _drive(
    job: Job,
    task: Task[Any],
    video: FrameSource,
    folder: ResultsFolder,
    reporter: Reporter,
    interrupts: Interrupts,
) -> tuple[int, SourceFault | Interruption | None]:
    """Step through the video, writing every frame; returns the number of frames and what ended them early."""
    overlay = _overlay_writer(job, video, folder)
    count = 0
    total = video.frame_count or video.frame_estimate
    with reporter.progress(f"{job.kind} through {video.name}", task.steps(total)) as tick:

        def on_frame() -> None:
            tick()
            interrupts.check()

        results = task.results(_timed(video, task.timer), on_frame)
        try:
            for result in results:
                with task.timer.stage("write"):
                    task.write(result)
                    if overlay:
                        overlay.write(task.draw(result))
                count += 1
                interrupts.check()
        except (SourceFault, Interruption) as stopped:
            return count, stopped
    return count, None


def _timed(video: FrameSource, timer: StageTimer) -> Iterator[Frame]:
    """The frames of `video`; getting one, be it decoding or waiting for a camera, is the stage `read`."""
    began = time.perf_counter_ns()
    for frame in video:
        timer.add("read", (time.perf_counter_ns() - began) / 1e6)
        yield frame
        began = time.perf_counter_ns()


def _overlay_writer(job: Job, video: FrameSource, folder: ResultsFolder) -> VideoWriter | None:
    if not job.overlay:
        return None
    fps = video.fps or DEFAULT_FPS
    return folder.attach(VideoWriter(folder.path / "overlay.mp4", fps, video.hw, job.codec))


def _report(
    job: Job,
    model: Model,
    task: Task[Any],
    video: FrameSource,
    count: int,
    stopped: SourceFault | Interruption | None,
    meter: UsageMeter,
) -> RunReport:
    fault = SourceFault(_what_happened(stopped), count) if isinstance(stopped, Interruption) else stopped
    return run_report(
        source=video,
        frames_read=count,
        network_hw=task.network_hw,
        settings=_settings(job, model, task),
        backends=task.backends,
        stages=task.timer.summary(),
        usage=meter.read(),
        fault=fault,
    )


def _settings(job: Job, model: Model, task: Task[Any]) -> dict[str, Any]:
    manifest = model.bundle.manifest
    return {
        "track": job.kind,
        **job.asked(),
        **task.counts(),
        "bundle": str(model.bundle.path),
        "bundle_sha256": model.bundle.sha256,
        "weights": manifest.provenance.weights,
        "arch": manifest.encoder.arch,
        "compat": job.compat,
        "size": job.size or manifest.default_size,
        "threads": job.threads,
        "propagation": job.propagation(manifest.propagation).model_dump(mode="json"),
    }


def _summary(report: RunReport, out: str) -> str:
    memory = report.usage.peak_memory_bytes / 2**20
    return (
        f"{_frames(report.source.frames_read)}, {report.frames_per_second:.2f} frames a second, "
        f"{report.usage.cpu_seconds / max(1, report.source.frames_read):.2f} CPU-seconds a frame, "
        f"{memory:.0f} MB at the peak: {out}"
    )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
