"""The JSON beside each cubin: all that a launcher without triton must know, checked against the cubin itself.

`fgvc_deploy.gpu` reads the same record with a model of its own; tests hold the two together.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fgvc_kernels.aot.build import Compiled, Constant
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.machine_code import Parameter, read_cubin

HIDDEN_POINTERS = 2
"""Triton 3.9 appends two pointers, to global and to profile scratch memory; a launch passes nulls."""
Count = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def to_json(self) -> bytes:
        """UTF-8 text of the file, ending in a newline."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class LaunchParameter(_Record):
    """One argument of a launch: its type as Triton writes it, what divides it, and its place in the block."""

    name: str
    type: Annotated[str, Field(pattern=r"^\*?[a-z]+[0-9]+$")]
    divisible_by: Literal[1, 16]
    offset: Count
    size: Literal[1, 2, 4, 8]


class KernelMetadata(_Record):
    """One cubin or PTX.  `constexprs` are compiled in; `params` are passed in order, then `hidden_pointers` nulls."""

    schema_version: Literal[1] = 1
    kernel: str
    symbol: str
    chip: Annotated[str, Field(pattern=r"^sm_[0-9]+$")]
    arch: Annotated[str, Field(pattern=r"^sm_[0-9]+a?$")]
    num_warps: Literal[1, 2, 4, 8, 16, 32]
    num_ctas: Annotated[int, Field(ge=1)]
    num_stages: Count
    shared_bytes: Count
    global_scratch_bytes: Count
    profile_scratch_bytes: Count
    constexprs: dict[str, Constant]
    params: tuple[LaunchParameter, ...]
    hidden_pointers: Literal[0, 2] = 2
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _parameters_do_not_overlap(self) -> Self:
        end = 0
        for parameter in self.params:
            if parameter.offset < end or parameter.offset % parameter.size:
                raise ValueError(f"parameter {parameter.name} overlaps the one before it, or is not aligned")
            end = parameter.offset + parameter.size
        return self


def describe(compiled: Compiled) -> KernelMetadata:
    """The record of a compiled kernel, its parameters placed as the cubin's own table says.

    Raises `AotError` when that table has other parameters than the kernel's signature and two hidden pointers.
    """
    table = read_cubin(compiled.cubin, compiled.symbol).parameters
    return KernelMetadata(
        kernel=compiled.build.name,
        symbol=compiled.symbol,
        chip=compiled.chip.name,
        arch=compiled.chip.arch,
        num_warps=compiled.num_warps,  # type: ignore[arg-type]  # the model checks it
        num_ctas=compiled.num_ctas,
        num_stages=compiled.build.num_stages,
        shared_bytes=compiled.shared_bytes,
        global_scratch_bytes=compiled.global_scratch_bytes,
        profile_scratch_bytes=compiled.profile_scratch_bytes,
        constexprs=dict(compiled.build.constexprs),
        params=placed_parameters(compiled, table),
        bytes=len(compiled.cubin),
        sha256=hashlib.sha256(compiled.cubin).hexdigest(),
        versions=compiled.versions,
    )


def placed_parameters(compiled: Compiled, table: tuple[Parameter, ...]) -> tuple[LaunchParameter, ...]:
    """The launch arguments with offsets from `table`; raises `AotError` when sizes or their number disagree."""
    build = compiled.build
    arguments = build.arguments()
    expected = [type_size(kind) for kind in arguments.values()] + [8] * HIDDEN_POINTERS
    found = [parameter.size for parameter in table]
    if found != expected:
        raise AotError(
            f"Kernel {build.name} for {compiled.chip.name} takes parameters of {found} bytes where its signature and "
            f"{HIDDEN_POINTERS} hidden pointers make {expected}; this triton passes arguments in another way."
        )
    return tuple(
        LaunchParameter(
            name=name,
            type=kind,
            divisible_by=16 if name in build.divisible else 1,
            offset=place.offset,
            size=place.size,  # type: ignore[arg-type]  # the model checks it
        )
        for (name, kind), place in zip(arguments.items(), table, strict=False)
    )


def type_size(kind: str) -> int:
    """Bytes of an argument of a Triton type: 8 for pointers, else by the number of bits in its name."""
    return 8 if kind.startswith("*") else max(1, int("".join(filter(str.isdigit, kind))) // 8)
