"""`fgvc-deploy doctor`: what can run here, and what mends the rest."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from fgvc_deploy.bundle.manifest import Artefact
    from fgvc_deploy.doctor import Diagnosis


def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to check; without it, the one that ships with the package.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show what is installed, which backends can run here and, for each that cannot, why and what mends it.

    Exit code 2 when the bundle is damaged or nothing here can run it.
    """
    from fgvc_deploy.doctor import diagnose

    diagnosis = diagnose(bundle)
    if as_json:
        print(json.dumps(_as_dict(diagnosis), indent=2))
    else:
        _print(diagnosis)
    raise typer.Exit(2 if diagnosis.problem else 0)


def _print(diagnosis: Diagnosis) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for key, value in diagnosis.machine.items():
        console.print(f"{key:12} {value}", markup=False)
    packages = [f"{name} {found}" for name, found in diagnosis.packages.items() if found]
    console.print(f"{'packages':12} {', '.join(packages)}", markup=False)
    for state in diagnosis.backends:
        verdict = "can run here" if state.reason is None else f"cannot run here: {state.reason}"
        console.print(f"{state.kind:12} {state.name:20} {verdict}", markup=False)
    if diagnosis.bundle:
        _print_bundle(console, diagnosis)
    if diagnosis.problem:
        console.print(f"problem: {diagnosis.problem}", markup=False, style="red")


def _print_bundle(console: Console, diagnosis: Diagnosis) -> None:
    assert diagnosis.bundle is not None
    manifest = diagnosis.bundle.manifest
    console.print(
        f"bundle       {diagnosis.bundle.path}: {manifest.encoder.arch}, stride {manifest.encoder.stride}, "
        f"{manifest.encoder.channels} channels, {manifest.provenance.weights}",
        markup=False,
    )
    for line in artefact_lines(manifest.artefacts):
        console.print(f"             {line}, verified", markup=False)
    for note in diagnosis.notes:
        console.print(f"would run    {note}", markup=False)


def artefact_lines(artefacts: Sequence[Artefact]) -> list[str]:
    """What a bundle holds, a line for each file; a chip has dozens of kernel files, which share one line."""
    lines: list[str] = []
    for folder, together in itertools.groupby(artefacts, _kernel_folder):
        files = list(together)
        if folder:
            size = sum(file.bytes for file in files) / 1e6
            lines.append(f"{folder}/: {len(files)} kernel files for {files[0].target}, {size:.2f} MB")
            continue
        for file in files:
            kind = f"{file.kind} {file.target} {file.precision or ''}".rstrip()
            lines.append(f"{file.path}: {kind}, {file.bytes / 1e6:.2f} MB")
    return lines


def _kernel_folder(artefact: Artefact) -> str:
    """The folder of a chip's kernels, empty for a file that has a line of its own."""
    folder, _, _ = artefact.path.rpartition("/")
    return folder if artefact.target.startswith("cubin:") else ""


def _as_dict(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "machine": diagnosis.machine,
        "packages": diagnosis.packages,
        "backends": [state._asdict() for state in diagnosis.backends],
        "bundle": diagnosis.bundle.manifest.model_dump(mode="json") if diagnosis.bundle else None,
        "gpu_notes": list(diagnosis.notes),
        "problem": diagnosis.problem,
    }
