"""What lies beside a cubin: how its kernel was compiled and what it takes.  Written by `fgvc_kernels.aot`, read here.

Choosing a kernel is `kernel_set.py`, filling its parameters `packing.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from fgvc_deploy.errors import BundleError
from fgvc_deploy.settings import FrozenModel

# Bytes of the values that kernels take.  A pointer is 8 bytes whatever it points to.
SCALAR_BYTES = {"i32": 4, "u32": 4, "fp32": 4, "i64": 8, "u64": 8, "fp64": 8}
POINTER_BYTES = 8
# Triton 3.9 appends pointers to global and to profile scratch memory to every kernel.
HIDDEN_POINTERS = 2
# From this compute capability on, kernels are compiled for one exact chip ("a" targets).
FIRST_EXACT = 90

Chip = Annotated[str, StringConstraints(pattern=r"^sm_[1-9][0-9]{1,2}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ParameterType = Annotated[str, StringConstraints(pattern=r"^(\*[a-z]+[0-9]+|i32|u32|fp32|i64|u64|fp64)$")]
Count = Annotated[int, Field(ge=0)]


class Parameter(FrozenModel):
    """One argument: its Triton type (`*fp16` is a pointer), the alignment promised for it, and where it lies."""

    name: str
    type: ParameterType
    divisible_by: Literal[1, 16] = 1
    offset: Count
    size: Literal[4, 8]

    @property
    def is_pointer(self) -> bool:
        """Whether the value is a device address."""
        return self.type.startswith("*")


class KernelMetadata(FrozenModel):
    """One cubin.  `params` are the visible parameters in order; `hidden_pointers` null pointers follow them."""

    schema_version: Literal[1]
    kernel: str
    symbol: Symbol
    chip: Chip
    arch: str
    num_warps: Literal[1, 2, 4, 8, 16, 32]
    num_ctas: Literal[1]
    num_stages: Count
    shared_bytes: Count
    global_scratch_bytes: Literal[0]
    profile_scratch_bytes: Literal[0]
    constexprs: dict[str, int | float | bool | str]
    params: tuple[Parameter, ...]
    hidden_pointers: Literal[2]
    bytes: Annotated[int, Field(ge=1)]
    sha256: Sha256
    versions: dict[str, str]

    @model_validator(mode="after")
    def _arch_fits_the_chip(self) -> Self:
        exact = int(self.chip.removeprefix("sm_")) >= FIRST_EXACT
        if self.arch != self.chip + ("a" if exact else ""):
            raise ValueError(f"arch {self.arch} is not what {self.chip} needs")
        return self

    @model_validator(mode="after")
    def _parameters_lie_one_behind_the_other(self) -> Self:
        end = 0
        for parameter in self.params:
            size = POINTER_BYTES if parameter.is_pointer else SCALAR_BYTES[parameter.type]
            if (parameter.size, parameter.offset) != (size, aligned(end, size)):
                raise ValueError(
                    f"parameter {parameter.name}: {parameter.type} at offset {parameter.offset}, "
                    f"{parameter.size} bytes, does not follow the one before"
                )
            end = parameter.offset + size
        return self

    @property
    def layout(self) -> tuple[tuple[int, int], ...]:
        """Offset and size of every parameter, the hidden pointers included, as the machine code has them."""
        table: list[tuple[int, int]] = [(parameter.offset, parameter.size) for parameter in self.params]
        end = sum(table[-1]) if table else 0
        for _ in range(self.hidden_pointers):
            table.append((aligned(end, POINTER_BYTES), POINTER_BYTES))
            end = sum(table[-1])
        return tuple(table)


def aligned(offset: int, size: int) -> int:
    """The next multiple of `size` at or above `offset`."""
    return -(-offset // size) * size


def parse_metadata(text: bytes, where: str) -> KernelMetadata:
    """Check and return the JSON beside a cubin; `where` names the file in errors.

    Raises BundleError when it is damaged, from another version, or describes a kernel that this run time cannot
    launch (clusters, scratch memory).
    """
    try:
        return KernelMetadata.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        what = f"{place}: {message}" if place else message
        raise BundleError(
            f"{where}: is not metadata of a kernel that this version can launch ({what}); "
            "export the bundle again with this version of fgvc-deploy."
        ) from None
