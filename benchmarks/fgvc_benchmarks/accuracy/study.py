"""Which inference settings help a bundle?  Measured without the sequences that scores are published on.

    python -m fgvc_benchmarks.accuracy.study --data ../shared/data [--model BUNDLE] [--seconds 140]

Every variant of `VARIANTS` is tracked on every clip of `study_clips.py`; a run stops after `--seconds` and the next
one continues.  When nothing is left, or with `--page`, benchmarks/results/settings.json and docs/settings.md are
written.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import fgvc_deploy
from fgvc_benchmarks.accuracy.base import EvalOptions, Task
from fgvc_benchmarks.accuracy.evaluation import describe
from fgvc_benchmarks.accuracy.records import EvalConfiguration, EvalRecord, append, find, read
from fgvc_benchmarks.accuracy.running import Runner
from fgvc_benchmarks.accuracy.study_clips import study_clips
from fgvc_benchmarks.provenance import ROOT, commit

RECORDS = Path("fgvc-eval") / "study.jsonl"


class Variant(NamedTuple):
    """Settings that differ from the bundle's; `size` None is the bundle's own."""

    name: str
    settings: dict[str, float | int | str] = {}  # noqa: RUF012 - never changed
    size: str | None = None


VARIANTS = (
    Variant("as shipped"),
    Variant("memory 9", {"memory": 9}),
    Variant("radius 11", {"radius": 11.0}),
    Variant("temperature .05", {"temperature": 0.05}),
    Variant("temperature .04", {"temperature": 0.04}),
    Variant("label sigma 4", {"label_sigma": 4.0}),
    Variant("label sigma 3", {"label_sigma": 3.0}),
    Variant("top 5", {"topk": 5}),
    Variant("coarse to fine", {"mode": "coarse_to_fine"}),
    Variant("short side 320", {}, "short:320"),
    Variant("short side 320, radius 9.5", {"radius": 9.5}, "short:320"),
    Variant("sigma 4, radius 11, memory 9", {"label_sigma": 4.0, "radius": 11.0, "memory": 9}),
    Variant("320, sigma 4, radius 11, memory 9", {"label_sigma": 4.0, "radius": 11.0, "memory": 9}, "short:320"),
    Variant("320, sigma 3, radius 11, memory 9", {"label_sigma": 3.0, "radius": 11.0, "memory": 9}, "short:320"),
)


class Piece(NamedTuple):
    """One variant on one clip."""

    variant: Variant
    task: Task[Any, Any]
    clip: Any
    configuration: EvalConfiguration


def main() -> None:
    """Measure what is missing until the time is up; write the page when all is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=None, help="bundle; default: the one shipped")
    parser.add_argument("--records", type=Path, default=RECORDS, help="file of records, continued")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument("--page", action="store_true", help="write record and page even if something is left")
    arguments = parser.parse_args()
    # One thread, so that processor seconds are comparable and nothing spins.
    model = fgvc_deploy.load(arguments.model, threads=1)
    done, left = run_study(model, arguments.data, arguments.records, arguments.seconds)
    print(f"{len(done)} pieces measured, {left} left")
    if done and (arguments.page or not left):
        from fgvc_benchmarks.accuracy.study_page import write_page

        write_page(done)


def run_study(
    model: fgvc_deploy.Model, data: Path, path: Path, seconds: float
) -> tuple[list[tuple[str, EvalRecord]], int]:
    """Records so far, each with the name of its variant, and how many pieces are left."""
    stored, deadline = read(path), time.monotonic() + seconds
    done: list[tuple[str, EvalRecord]] = []
    left = 0
    for piece in pieces(model, data):
        record = find(stored, piece.configuration, piece.clip.name, piece.task.fingerprint(piece.clip), any_code=True)
        if record is None and time.monotonic() < deadline:
            record = measure(model, piece)
            append(path, record)
        if record is None:
            left += 1
        else:
            done.append((piece.variant.name, record))
    return done, left


def pieces(model: fgvc_deploy.Model, data: Path) -> Iterator[Piece]:
    """All variants of one clip after another: a clip is read, or rendered, once."""
    configurations: dict[tuple[str, str], EvalConfiguration] = {}
    for task, clip in study_clips(data):
        for variant in VARIANTS:
            key = (task.name, variant.name)
            if key not in configurations:
                options = EvalOptions(size=variant.size, settings=variant.settings, threads=1)
                configurations[key] = describe(task, model, options)
            yield Piece(variant, task, clip, configurations[key])


def measure(model: fgvc_deploy.Model, piece: Piece) -> EvalRecord:
    """Track and score one clip with one variant."""
    task, about = piece.task, piece.configuration
    runner = Runner(model, about.options, task.size(about.options), about.propagation)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    prediction = task.predict(piece.clip, runner, about.options)
    return EvalRecord(
        configuration=about,
        commit=commit(ROOT).sha,
        started=started,
        clip=piece.clip.name,
        fingerprint=task.fingerprint(piece.clip),
        scores=task.score(piece.clip, prediction, about.options),
        cost=runner.cost,
    )


if __name__ == "__main__":
    main()
