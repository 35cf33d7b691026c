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
from fgvc_deploy.encoders.base import EncoderBackend, Float32Array
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from fgvc_export.target_rows import FAMILIES, TARGETS, Target

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "TARGETS",
    "Choice",
    "Source",
    "Target",
    "Tell",
    "build",
    "build_files",
    "chosen_targets",
    "run",
]

Tell = Callable[[str, float], None]
"""Told (what is being done now, share of the work done before it)."""


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
