"""Accuracy of every model x precision x backend x compat mode: what there is to run, and running it.

Each combination is an ordinary evaluation (`evaluation.py`), so its clips are recorded and continued like any other.
What cannot run here is a row with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from fgvc_benchmarks.accuracy.base import EvalOptions, Unit
from fgvc_benchmarks.accuracy.evaluation import Evaluation, Places, Progress, Say, cpu_per_frame, evaluate
from fgvc_benchmarks.accuracy.intervals import mean_interval
from fgvc_benchmarks.accuracy.macs import encoder_gmac
from fgvc_benchmarks.accuracy.tasks.table import find_task
from fgvc_deploy.bundle import Bundle, ParityFigure, open_bundle
from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.encoders.select import ENCODER_BACKENDS
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.model import Model
from fgvc_deploy.settings import Compat, FrozenModel

ROOTS = {
    "badja": ".",
    "davis": "davis16",
    "planar": "planar_video",
    "flow": "middlebury_flow",
    "synthetic": "davis16_train256",
}
"""Where each data set lies in a folder like ../shared/data."""
DATASETS = ("badja", "davis", "planar")
MODES: tuple[Compat, ...] = ("corrected", "reference")


class Case(NamedTuple):
    """One combination; `backend` names encoder, precision and propagation as `--backend` takes them."""

    model: str
    bundle: Bundle
    artefact: Artefact
    backend: str
    compat: Compat


class Score(FrozenModel):
    """One data set: headline figure, its average, and the 95 % interval over sequences, where there are several.

    `matcher` is the propagation backend that ran.
    """

    dataset: str
    figure: str
    unit: Unit
    average: float
    low: float | None
    high: float | None
    sequences: dict[str, float | None]
    matcher: str
    cpu_s: float
    wall_s: float


class Row(FrozenModel):
    """One combination, measured or not; `parity` are the encoder artefact's figures from the manifest."""

    model: str
    weights: str
    sha256: str
    precision: str
    backend: str
    compat: Compat
    status: Literal["ok", "unavailable"]
    reason: str = ""
    gmac: float | None
    megabytes: float
    parity: tuple[ParityFigure, ...]
    scores: tuple[Score, ...] = ()


def check_datasets(names: Sequence[str]) -> Sequence[str]:
    """The names given.  Raises InputError for one that has no place in `ROOTS`."""
    unknown = [name for name in names if name not in ROOTS]
    if unknown:
        raise InputError(f"there is no data set {unknown[0]!r} here; choose from {', '.join(ROOTS)}.")
    return names


def cases(models: Sequence[Path], propagation: Sequence[str], modes: Sequence[Compat]) -> Iterator[Case]:
    """Every encoder of every bundle that a backend of the table runs, with every propagation backend and mode."""
    for path in models:
        bundle = open_bundle(path)
        for artefact in bundle.manifest.artefacts:
            names = [e.name for e in ENCODER_BACKENDS if artefact.kind == "encoder" and e.target == artefact.target]
            for name in names:
                precision = "" if artefact.precision in (None, "fp32") else f":{artefact.precision}"
                for matcher in propagation:
                    for mode in modes:
                        yield Case(path.name, bundle, artefact, f"{name}{precision}+{matcher}", mode)


def run_matrix(
    todo: Sequence[Case], root: Path, datasets: Sequence[str], out: Path, threads: int, say: Say, progress: Progress
) -> list[Row]:
    """A row for each case."""
    return [run_case(case, root, datasets, out, threads, say, progress) for case in todo]


def run_case(
    case: Case, root: Path, datasets: Sequence[str], out: Path, threads: int, say: Say, progress: Progress
) -> Row:
    """Evaluate one case on every data set, or say why it cannot run."""
    say(f"{case.model}, {case.backend}, {case.compat}")
    options = EvalOptions(compat=case.compat, backend=case.backend, threads=threads)

    def on(dataset: str) -> Score:
        model = Model(case.bundle, threads=threads)
        places = Places(root / ROOTS[dataset], out)
        return score(evaluate(find_task(dataset), model, options, places, say=say, progress=progress))

    return _row(case, lambda: tuple(on(dataset) for dataset in datasets))


def _row(case: Case, measure: Callable[[], tuple[Score, ...]]) -> Row:
    reason = ""
    try:
        scores = measure()
    except BackendError as error:
        scores, reason = (), str(error)
    artefact = case.artefact
    is_onnx = artefact.target == "onnx"
    return Row(
        model=case.model,
        weights=case.bundle.manifest.provenance.weights,
        sha256=case.bundle.sha256,
        precision=artefact.precision or "",
        backend=case.backend.replace("+auto", f"+{scores[0].matcher}") if scores else case.backend,
        compat=case.compat,
        status="unavailable" if reason else "ok",
        reason=reason,
        gmac=encoder_gmac(case.bundle.path / artefact.path) if is_onnx else None,
        megabytes=artefact.bytes / 1e6,
        parity=tuple(figure for figure in artefact.parity if isinstance(figure, ParityFigure)),
        scores=scores,
    )


def score(done: Evaluation) -> Score:
    """The headline of an evaluation with its interval over sequences."""
    sequences = {record.clip: record.scores.figures[done.headline] for record in done.records}
    interval = mean_interval([value for value in sequences.values() if value is not None])
    average = done.averages[done.headline]
    return Score(
        dataset=done.task.name,
        figure=done.headline,
        unit=done.task.unit,
        average=interval.mean if average is None else average,
        low=interval.low,
        high=interval.high,
        sequences=sequences,
        matcher=done.configuration.matcher,
        cpu_s=cpu_per_frame(done.records),
        wall_s=sum(r.cost.wall_s for r in done.records) / max(1, sum(r.cost.frames for r in done.records)),
    )
