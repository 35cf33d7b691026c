"""One evaluation: every clip of a data set tracked and scored, or taken from the records, then averaged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fgvc_benchmarks.accuracy.base import Clip, EvalOptions, Figures, Task
from fgvc_benchmarks.accuracy.overlays import write_overlay
from fgvc_benchmarks.accuracy.records import EvalConfiguration, EvalRecord, append, find, read
from fgvc_benchmarks.accuracy.running import Runner, changed_settings
from fgvc_benchmarks.provenance import ROOT, commit, model_facts, sources_sha256
from fgvc_deploy.errors import InputError
from fgvc_deploy.model import Model
from fgvc_deploy.results.run_json import machine, versions

CODE = ("fgvc_deploy", "kernels/fgvc_kernels", "benchmarks/fgvc_benchmarks")
"""Packages whose code can move a figure; exporting and training act through the bundle and the clips."""
Say = Callable[[str], None]
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True)
class Places:
    """Where things lie: the data set, the folder of records (None keeps none) and that of overlays (None: none)."""

    root: Path
    out: Path | None = None
    overlays: Path | None = None


@dataclass
class Evaluation:
    """Scores of a data set, in the order of its clips, and what they were made with."""

    task: Task[Any, Any]
    configuration: EvalConfiguration
    records: list[EvalRecord] = field(default_factory=list)

    @property
    def averages(self) -> Figures:
        """Figures of the whole data set."""
        return self.task.average({r.clip: r.scores for r in self.records}, self.configuration.options)

    @property
    def headline(self) -> str:
        """Name of the first figure."""
        return self.task.headline(self.configuration.options)

    def line(self, record: EvalRecord) -> str:
        """One clip for people."""
        figure = _shown(self.headline, record.scores.figures)
        return f"{record.clip}: {figure}, {cpu_per_frame([record]):.3g} CPU-s a frame"

    def summary(self) -> str:
        """The data set in one line for people."""
        figures = self.averages
        others = ", ".join(_shown(name, figures) for name in figures if name != self.headline)
        return f"{self.task.name}: {_shown(self.headline, figures)} ({self.task.unit}); {others}"


def evaluate(
    task: Task[Any, Any],
    model: Model,
    options: EvalOptions,
    places: Places,
    *,
    only: tuple[str, ...] = (),
    fresh: bool = False,
    say: Say,
    progress: Progress,
) -> Evaluation:
    """Evaluate a model on a data set; clips that `places.out` holds for this configuration are not tracked again.

    `only` restricts the clips by name.  `fresh` tracks all again.  Each clip is written down as soon as it is scored.
    Raises InputError when the data set is not whole, or holds none of `only`, and for `round_trip` where no metric
    counts it.
    """
    if options.round_trip and (options.reference or not task.counts_visibility):
        where = "the reference predicts no visibility" if options.reference else f"{task.name} scores no visibility"
        raise InputError(f"--round-trip changes nothing here: {where}; drop it.")
    done = Evaluation(task, describe(task, model, options))
    path = places.out / f"{task.name}.jsonl" if places.out else None
    stored = read(path) if path and not fresh else []
    runner = Runner(model, options, task.size(options), done.configuration.propagation)
    here = commit(ROOT).sha
    for clip in task.clips(places.root, options):
        if only and clip.name not in only:
            continue
        fingerprint = task.fingerprint(clip)
        record = find(stored, done.configuration, clip.name, fingerprint)
        if record is None or places.overlays:
            with progress(f"{task.name} {clip.name}", len(clip.frames)) as runner.on_frame:
                record = _evaluate_clip(done, clip, runner, fingerprint, here, places.overlays)
            if path:
                append(path, record)
            say(done.line(record))
        else:
            say(f"{done.line(record)} (recorded before)")
        done.records.append(record)
    _check_all_found(done, only)
    return done


def describe(task: Task[Any, Any], model: Model, options: EvalOptions) -> EvalConfiguration:
    """What the figures of this evaluation depend on.  Raises InputError for a setting that is not one."""
    manifest = model.bundle.manifest
    settings = changed_settings(manifest.propagation, options.settings)
    engine = model.engine(options.backend, settings)
    return EvalConfiguration(
        dataset=task.name,
        options=options,
        network_size=task.size(options) or manifest.default_size,
        propagation=settings,
        encoder=engine.encoder.name,
        matcher=engine.matcher.name,
        model=model_facts(model.bundle),
        machine=machine(),
        versions=versions(),
        sources_sha256=sources_sha256(ROOT, CODE),
    )


def cpu_per_frame(records: list[EvalRecord]) -> float:
    """Processor seconds of all threads for each tracked frame, reading excluded."""
    return sum(r.cost.cpu_s for r in records) / max(1, sum(r.cost.frames for r in records))


def _evaluate_clip(
    evaluation: Evaluation, clip: Clip, runner: Runner, fingerprint: str, sha: str, overlays: Path | None
) -> EvalRecord:
    task, options = evaluation.task, evaluation.configuration.options
    started = datetime.now(UTC).isoformat(timespec="seconds")
    runner.restart()
    prediction = task.predict(clip, runner, options)
    cost = runner.cost
    if overlays:
        write_overlay(overlays / f"{clip.name.replace('/', '_')}.mp4", clip, task.marks(clip, prediction, options))
    return EvalRecord(
        configuration=evaluation.configuration,
        commit=sha,
        started=started,
        clip=clip.name,
        fingerprint=fingerprint,
        scores=task.score(clip, prediction, options),
        cost=cost,
    )


def _check_all_found(done: Evaluation, only: tuple[str, ...]) -> None:
    missing = [name for name in only if name not in {record.clip for record in done.records}]
    if missing:
        raise InputError(f"the data set {done.task.name} has no sequence {', '.join(missing)}: check --sequence.")
    if not done.records:
        raise InputError(f"the data set {done.task.name} holds no sequence: check --root.")


def _shown(name: str, figures: Figures) -> str:
    value = figures[name]
    return f"{name} {'none' if value is None else format(value, '.4g')}"
