"""An export from start to end: weights, artefacts, parity gate, bundle; nothing is written before the gate."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fgvc_deploy.bundle import (
    Bundle,
    BundleDraft,
    ParityFigure,
    ParityNotRun,
    Payload,
    Provenance,
    check_destination,
    write_bundle,
)
from fgvc_export.clip import Clip, load_clip
from fgvc_export.gates import Trial, encoder_gate, engine_gate, propagation_gate, remember_gated
from fgvc_export.parity import Setup, TorchEncoder, network_frames
from fgvc_export.settings import encoder_settings, preprocess_settings, propagation_settings
from fgvc_export.targets import Choice, Source, Tell, build, build_files, chosen_targets
from fgvc_export.weights import Weights, load_weights
from fgvc_training.encoder.checkpoint import ImportReport

Progress = Tell


@dataclass(frozen=True, slots=True)
class Request:
    """What to export, and where to; see `fgvc_export.export_bundle`."""

    checkpoint: Path | None
    out: Path
    arch: str
    precision: str
    targets: tuple[str, ...]
    parity_clip: str | None
    overwrite: bool
    training: str
    licence: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported: the bundle as written, every figure measured, and what was left out of the checkpoint."""

    bundle: Bundle
    figures: tuple[ParityFigure, ...]
    imported: ImportReport | None

    def lines(self) -> list[str]:
        """For people: one line each for the checkpoint, every figure, and the bundle."""
        artefacts = self.bundle.manifest.artefacts
        size = sum(artefact.bytes for artefact in artefacts)
        return [
            self.imported.summary() if self.imported else "untrained weights",
            *(_line(artefact.path, entry) for artefact in artefacts for entry in artefact.parity),
            f"{self.bundle.path}: {len(artefacts)} files, {size / 1e6:.1f} MB",
        ]


def _line(path: str, entry: ParityFigure | ParityNotRun) -> str:
    if isinstance(entry, ParityNotRun):
        return f"{path}: {entry.figure} not run: {entry.not_run}"
    return f"{path}: {entry.figure} {entry.value:.6g} {entry.unit}".rstrip() + f" ({entry.detail})"


def run_export(request: Request, progress: Progress | None = None) -> ExportReport:
    """Carry out a request; errors as `fgvc_export.export_bundle`."""
    tell = progress or (lambda message, fraction: None)
    choices = chosen_targets(request.targets, request.precision)
    check_destination(request.out, overwrite=request.overwrite)
    tell("reading the weights", 0.0)
    weights = load_weights(request.checkpoint, request.arch)
    clip = load_clip(request.parity_clip)
    setup = _setup(weights)
    payloads = []
    shared: dict[str, Any] = {}
    for index, choice in enumerate(choices):
        part = _part(tell, 0.05 + 0.9 * index / len(choices), 0.9 / len(choices))
        payloads += _payloads(choice, weights, setup, clip, shared, part)
    tell("writing the bundle", 0.95)
    bundle = write_bundle(_draft(request, weights, setup, payloads), request.out, overwrite=request.overwrite)
    tell("done", 1.0)
    figures = [entry for payload in payloads for entry in payload.parity if isinstance(entry, ParityFigure)]
    return ExportReport(bundle, tuple(figures), weights.imported)


def _part(tell: Progress, start: float, share: float) -> Progress:
    """Progress of a step that is `share` of the whole and begins at `start`."""
    return lambda message, fraction: tell(message, start + share * fraction)


def _setup(weights: Weights) -> Setup:
    row = weights.arch
    return Setup(encoder_settings(row), preprocess_settings(row), propagation_settings(row), row.default_size)


def _payloads(
    choice: Choice, weights: Weights, setup: Setup, clip: Clip, shared: dict[str, Any], tell: Progress
) -> list[Payload]:
    """Build one target and pass it through the gate of its kind; raises `ParityError` when it misses a budget."""
    row, precision = choice
    tell(f"building {choice}", 0.0)
    source = Source(
        weights.module,
        setup.encoder,
        setup.propagation,
        precision,
        _metadata(weights),
        lambda: network_frames(clip, setup),
        shared,
        setup.default_size,
    )
    trial = Trial(TorchEncoder(weights.module), setup, clip)
    if row.kind == "engine":
        engine_gate(choice, source, trial, tell)
    if row.kind in ("kernel", "engine"):
        return build_files(choice, source, tell)
    content = build(row, source)
    gate = propagation_gate if row.kind == "propagation" else encoder_gate
    figures = gate(choice, content, trial, tell)
    remember_gated(choice, source)
    return [Payload(row.kind, row.runtime, row.file_name[precision], content, precision, tuple(figures))]


def _metadata(weights: Weights) -> dict[str, str]:
    """Texts inside the artefact itself, for whoever meets it without its bundle."""
    row = weights.arch
    return {
        "arch": row.name,
        "stride": str(row.stride),
        "channels": str(row.channels),
        "color_space": row.preprocess.color_space,
        "mean": ", ".join(f"{value:g}" for value in row.preprocess.mean),
        "std": ", ".join(f"{value:g}" for value in row.preprocess.std),
        "weights": weights.origin.weights,
        "licence": weights.origin.licence,
        "fgvc-deploy": _versions()["fgvc-deploy"],
    }


def _draft(request: Request, weights: Weights, setup: Setup, payloads: list[Payload]) -> BundleDraft:
    origin, imported = weights.origin, weights.imported
    provenance = Provenance(
        weights=origin.weights,
        checkpoint=imported.path.name if imported else None,
        checkpoint_sha256=imported.sha256 if imported else None,
        training=request.training or origin.training,
        licence=request.licence or origin.licence,
        versions=_versions(),
    )
    return BundleDraft(
        setup.encoder, setup.preprocess, setup.propagation, setup.default_size, provenance, tuple(payloads)
    )


def _versions() -> dict[str, str]:
    return {
        name: _version(name)
        for name in ("fgvc-deploy", "torch", "onnx", "onnxscript", "onnxruntime", "MNN", "triton")
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
