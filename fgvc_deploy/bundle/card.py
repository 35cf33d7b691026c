"""MODEL_CARD.md of a bundle, written from its manifest so that the two cannot disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fgvc_deploy.bundle.manifest import Artefact, Manifest, ParityFigure, ParityNotRun


def model_card(manifest: Manifest) -> str:
    """Markdown for people: what the weights are, on what terms, how to prepare input, and how well exports agree."""
    return "\n".join(
        [*_head(manifest), *_geometry(manifest), *_files(manifest), *_parity(manifest), *_origin(manifest)]
    )


def _head(manifest: Manifest) -> Iterator[str]:
    provenance = manifest.provenance
    yield f"# {manifest.encoder.arch}"
    yield ""
    yield f"Weights: {provenance.weights}."
    yield f"Licence of the weights: {provenance.licence or 'not stated by the exporter'}."
    yield f"Training: {provenance.training or 'not stated by the exporter'}."
    yield ""
    yield "An fgvc-deploy bundle. Use it with `fgvc-deploy run VIDEO --model THIS_BUNDLE`."
    yield ""


def _geometry(manifest: Manifest) -> Iterator[str]:
    encoder, pre, carry = manifest.encoder, manifest.preprocess, manifest.propagation
    yield "## Input and output"
    yield ""
    yield f"- input: {pre.color_space} colour, (colour - mean) / std with mean {_row(pre.mean)}, std {_row(pre.std)}"
    yield f"- default network size: {manifest.default_size}"
    yield (
        f"- output: {encoder.channels} channels, one feature every {encoder.stride} pixels, "
        f"feature (i, j) centred on pixel ({encoder.stride}i, {encoder.stride}j)"
    )
    yield (
        f"- propagation: {carry.mode}, {carry.window} window of radius {carry.radius:g}, top-{carry.topk}, "
        f"temperature {carry.temperature:g}, memory of the first and the last {carry.memory} frames"
    )
    if carry.fine != "off":
        yield f"- fine stage: {carry.fine}, points are refined on the image itself"
    yield ""


def _files(manifest: Manifest) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield "| file | kind | target | precision | bytes |"
    yield "|---|---|---|---|---|"
    for a in manifest.artefacts:
        yield f"| {a.path} | {a.kind} | {a.target} | {a.precision or ''} | {a.bytes} |"
    yield ""


def _parity(manifest: Manifest) -> Iterator[str]:
    rows = list(_parity_rows(manifest.artefacts))
    if not rows:
        return
    yield "## Agreement with the reference"
    yield ""
    yield "Encoders beside the PyTorch encoder, propagation beside a float64 reference and the NumPy backend."
    yield ""
    yield "| file | figure | value | budget | |"
    yield "|---|---|---|---|---|"
    yield from rows
    yield ""


def _parity_rows(artefacts: Iterable[Artefact]) -> Iterator[str]:
    for artefact in artefacts:
        for entry in artefact.parity:
            yield f"| {artefact.path} | {entry.figure} | {_outcome(entry)} |"


def _outcome(entry: ParityFigure | ParityNotRun) -> str:
    if isinstance(entry, ParityNotRun):
        return f"not run: {entry.not_run} | | "
    sign = "<=" if entry.limit == "at_most" else ">="
    detail = f"{'passed' if entry.passed else 'FAILED'}{', ' if entry.detail else ''}{entry.detail}"
    return f"{entry.value:.9g} {entry.unit} | {sign} {entry.budget:g} | {detail}"


def _origin(manifest: Manifest) -> Iterator[str]:
    provenance = manifest.provenance
    yield "## Provenance"
    yield ""
    if provenance.checkpoint:
        yield f"- checkpoint: {provenance.checkpoint}, sha256 {provenance.checkpoint_sha256}"
    for tool, version in sorted(provenance.versions.items()):
        yield f"- {tool} {version}"
    yield ""


def _row(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
