"""The table of export targets.  Validation, the command line and the docs read it; a new target is one more row.

A row's module offers `build(source: Source) -> bytes` and `run(content: bytes, settings: EncoderSettings, precision:
str) ->` the backend of its kind; the parity gate runs what was built.  A row of kind `kernel` or `engine` makes
several files that only a GPU runs: its module offers `payloads(choice: Choice, source: Source, tell: Tell) ->
list[Payload]`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from fgvc_deploy.bundle import Payload
from fgvc_deploy.bundle.manifest import ArtefactKind
from fgvc_deploy.encoders.base import EncoderBackend, Float32Array
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_kernels.aot.chips import CHIPS

if TYPE_CHECKING:
    from torch import nn


Tell = Callable[[str, float], None]
"""Told (what is being done now, share of the work done before it)."""


@dataclass(frozen=True, slots=True)
class Target:
    """One row.

    `runtime` is what runs the artefact (the target the manifest names); `needs` are import names, `mend` the command
    that installs them; `file_name` is the artefact's path (of several files: their folder) for each precision that
    the target offers, the usual one first.
    """

    name: str
    summary: str
    kind: ArtefactKind
    runtime: str
    module: str
    file_name: dict[str, str]
    needs: tuple[str, ...]
    mend: str


ENGINE_PRECISIONS = ("fp16", "fp32", "int8")
# What TensorRT-RTX builds for and our kernels run on; `rtx` alone means those of graphics cards.
RTX_CHIPS = ("sm_86", "sm_89", "sm_120", "sm_80", "sm_121")
FAMILIES = {"rtx": ("rtx:sm_86", "rtx:sm_89", "rtx:sm_120")}

TARGETS: dict[str, Target] = {
    row.name: row
    for row in (
        Target(
            name="onnx",
            summary="ONNX file of any frame size, run by ONNX Runtime",
            kind="encoder",
            runtime="onnx",
            module="fgvc_export.onnx_target",
            file_name={"fp32": "encoder.onnx", "fp16": "encoder.fp16.onnx", "int8": "encoder.int8.onnx"},
            needs=("torch", "onnx", "onnxscript", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        Target(
            name="qdq",
            summary="ONNX file with int8 by explicit Q/DQ where tracks allow it and fp16 elsewhere, for GPUs",
            kind="encoder",
            runtime="qdq",
            module="fgvc_export.qdq_target",
            file_name={"int8": "encoder.qdq.onnx"},
            needs=("torch", "onnx", "onnxscript", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        Target(
            name="winograd",
            summary="ONNX file with Winograd convolutions, for encoders with wide 3x3 layers on a CPU",
            kind="encoder",
            runtime="winograd",
            module="fgvc_export.winograd_target",
            file_name={"fp32": "encoder.winograd.onnx"},
            needs=("torch", "onnx", "onnxscript", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        Target(
            name="mnn",
            summary="MNN file of any frame size, run by MNN",
            kind="encoder",
            runtime="mnn",
            module="fgvc_export.mnn_target",
            file_name={"fp32": "encoder.mnn", "bf16": "encoder.bf16.mnn"},
            needs=("torch", "onnx", "onnxscript", "MNN"),
            mend="pip install 'fgvc-deploy[cpu,export]'",
        ),
        Target(
            name="propagation",
            summary="the propagation step as an ONNX file of any frame size, for any runtime and language",
            kind="propagation",
            runtime="onnx",
            module="fgvc_export.propagation_target",
            file_name={"fp32": "propagation.onnx"},
            needs=("onnx", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        *(
            Target(
                name=f"cubin:{chip}",
                summary=f"the GPU kernels as machine code for {chip} ({row.product.name})",
                kind="kernel",
                runtime=f"cubin:{chip}",
                module="fgvc_export.cubin_target",
                file_name={"fp16": f"kernels/{chip}", "bf16": f"kernels/{chip}"},
                needs=("torch", "triton"),
                mend="pip install 'fgvc-deploy[export]'",
            )
            for chip, row in CHIPS.items()
        ),
        *(
            Target(
                name=f"rtx:{chip}",
                summary=f"the encoder as a TensorRT-RTX engine for {chip} ({CHIPS[chip].product.name})",
                kind="engine",
                runtime=f"rtx:{chip}",
                module="fgvc_export.engine_target",
                file_name=dict.fromkeys(ENGINE_PRECISIONS, "engines"),
                needs=("torch", "onnx", "onnxscript", "onnxruntime", "tensorrt_rtx"),
                mend="pip install 'fgvc-deploy[export,rtx]'",
            )
            for chip in RTX_CHIPS
        ),
        Target(
            name="tensorrt",
            summary="the encoder as a TensorRT engine for the GPU that is here",
            kind="engine",
            runtime="tensorrt",
            module="fgvc_export.engine_target",
            file_name=dict.fromkeys(ENGINE_PRECISIONS, "engines"),
            needs=("torch", "onnx", "onnxscript", "onnxruntime", "tensorrt"),
            mend="pip install 'fgvc-deploy[export,tensorrt]'",
        ),
        *(
            Target(
                name=f"plugin:{chip}",
                summary=f"the matching kernel as a TensorRT plugin for {chip} ({row.product.name})",
                kind="kernel",
                runtime=f"plugin:{chip}",
                module="fgvc_export.plugin_target",
                file_name={"fp16": f"plugins/{chip}", "bf16": f"plugins/{chip}"},
                needs=("torch", "triton"),
                mend="pip install 'fgvc-deploy[export]'",
            )
            for chip, row in CHIPS.items()
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Source:
    """What a target is built from: the encoder in PyTorch, in eval mode, the settings, and texts for the file.

    `frames` gives frames [1, 3, H, W] as the encoder will see them, for precisions that are calibrated; `shared`
    keeps files that several targets of one export start from.
    """

    module: nn.Module
    settings: EncoderSettings
    propagation: PropagationSettings
    precision: str
    metadata: dict[str, str]
    frames: Callable[[], Sequence[Float32Array]] = tuple
    shared: dict[str, Any] = field(default_factory=dict)
    default_size: str = "native"


class Choice(NamedTuple):
    """A row and the precision to make it in."""

    row: Target
    precision: str

    def __str__(self) -> str:
        """As it is given on the command line: `onnx`, `onnx:int8`."""
        return self.row.name if self.precision == "fp32" else f"{self.row.name}:{self.precision}"


def chosen_targets(names: Sequence[str], precision: str) -> list[Choice]:
    """The targets called `names`, checked; `onnx:int8` is target `onnx` in precision `int8`.

    `cubin:sm_87,sm_89` are two targets, `cubin:all` is that whole family.  `precision` is that of encoders whose name
    gives none; other kinds take their usual one.  Raises `InputError` for an unknown target (listing the known), one
    given twice, none at all, or a precision that a target does not offer; `BackendError` when a package is missing.
    """
    if not names:
        raise InputError(f"No export target is given; choose from: {', '.join(TARGETS)}.")
    choices = [_choice(single, precision) for name in names for single in _singles(name)]
    if len({(choice.row.name, choice.precision) for choice in choices}) < len(choices):
        raise InputError(f"An export target is given twice in {', '.join(names)}; give each once.")
    for choice in choices:
        _check(choice.row, choice.precision)
    return choices


def _singles(name: str) -> list[str]:
    """`cubin:sm_87,sm_89` as `cubin:sm_87` and `cubin:sm_89`; `cubin:all` as every row of that family."""
    if name in FAMILIES:
        return list(FAMILIES[name])
    family, colon, members = name.partition(":")
    if members == "all":
        return [row for row in TARGETS if row.startswith(f"{family}:")] or [name]
    return [f"{family}{colon}{member}" for member in members.split(",")]


def _choice(name: str, precision: str) -> Choice:
    # The whole name first, for rows that have a colon of their own.
    own, asked = (name, "") if name in TARGETS else name.rpartition(":")[::2]
    if own not in TARGETS:
        raise InputError(f"There is no export target {name!r}; choose from: {', '.join(TARGETS)}.")
    row = TARGETS[own]
    usual = next(iter(row.file_name))
    # fp32 is what nobody asked for, so a target that has none takes its own.
    own_choice = row.kind != "encoder" or (precision == "fp32" and precision not in row.file_name)
    return Choice(row, asked or (usual if own_choice else precision))


def _check(row: Target, precision: str) -> None:
    if precision not in row.file_name:
        offered = ", ".join(row.file_name)
        raise InputError(f"Target {row.name} has no precision {precision!r}; choose from: {offered}.")
    missing = [name for name in row.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendError(f"Target {row.name} needs {', '.join(missing)}, not installed here; run `{row.mend}`.")


def build(row: Target, source: Source) -> bytes:
    """The artefact's content."""
    return cast(bytes, importlib.import_module(row.module).build(source))


def build_files(choice: Choice, source: Source, tell: Tell) -> list[Payload]:
    """The files of a row that makes several; `tell(message, share of the work done)` hears of each."""
    module = importlib.import_module(choice.row.module)
    return cast("list[Payload]", module.payloads(choice, source, tell))


def run(choice: Choice, content: bytes, settings: EncoderSettings) -> EncoderBackend:
    """The artefact of an encoder target as a backend, to compare it with its source."""
    return cast(EncoderBackend, importlib.import_module(choice.row.module).run(content, settings, choice.precision))
