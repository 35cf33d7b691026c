"""The machine-readable answer of `fgvc-deploy eval --json`: one object, without NaN."""

from __future__ import annotations

from typing import Any

from fgvc_benchmarks.accuracy.evaluation import Evaluation, cpu_per_frame


def answer(done: Evaluation) -> dict[str, Any]:
    """Headline figure per sequence and its average; every other figure likewise under `metrics`.

    Keys are listed in docs/evaluation.md.  None stands where nothing could be counted.
    """
    averages, about = done.averages, done.configuration
    metrics = {
        name: {"average": average, "sequences": {r.clip: r.scores.figures.get(name) for r in done.records}}
        for name, average in averages.items()
    }
    frames = sum(record.cost.frames for record in done.records)
    return {
        "schema_version": 1,
        "dataset": done.task.name,
        "metric": done.headline,
        "unit": done.task.unit,
        "sequences": metrics[done.headline]["sequences"],
        "average": averages[done.headline],
        "metrics": metrics,
        "frames": frames,
        "cpu_seconds_per_frame": cpu_per_frame(done.records),
        "seconds_per_frame": sum(record.cost.wall_s for record in done.records) / max(1, frames),
        "model_sha256": about.model.sha256,
        "model": about.model.model_dump(),
        "compat": about.options.compat,
        "size": about.network_size,
        "settings": about.propagation.model_dump(),
        "options": about.options.model_dump(),
        "backends": {"encoder": about.encoder, "propagation": about.matcher},
        "machine": about.machine.model_dump(),
        "versions": about.versions,
    }
