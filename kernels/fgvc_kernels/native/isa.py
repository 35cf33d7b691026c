"""Instruction sets: which this CPU has, which one is used, and how one is forced."""

from __future__ import annotations

import os
from functools import cache

from fgvc_kernels.native.errors import NativeUnavailableError
from fgvc_kernels.native.library import load_library

ISA_VARIABLE = "FGVC_NATIVE_ISA"


@cache
def _compiled() -> dict[str, tuple[int, str | None]]:
    """Name -> (index, what is missing or None), fastest first."""
    library = load_library()
    table: dict[str, tuple[int, str | None]] = {}
    for index in range(library.fgvc_isa_count()):
        missing = library.fgvc_isa_missing(index)
        table[library.fgvc_isa_name(index).decode()] = (index, missing.decode() if missing else None)
    return table


def isas() -> tuple[str, ...]:
    """Instruction sets this CPU can run, fastest first.  Raises NativeUnavailableError without a library."""
    return tuple(name for name, (_, missing) in _compiled().items() if missing is None)


def isa() -> str:
    """The instruction set in use: `FGVC_NATIVE_ISA` if set, else the fastest this CPU has.

    Raises NativeUnavailableError when the variable names one that is unknown or that this CPU lacks.
    """
    forced = os.environ.get(ISA_VARIABLE, "")
    if not forced:
        return isas()[0]
    try:
        isa_index(forced)
    except NativeUnavailableError as error:
        # Whoever reads this may not know that the variable is set.
        told = str(error).removesuffix(".")
        raise NativeUnavailableError(f"{ISA_VARIABLE}={forced} is set: {told}, or unset the variable.") from None
    return forced


def isa_index(name: str | None) -> int:
    """Index of an instruction set in the library's table; None = the one in use.  Raises NativeUnavailableError."""
    name = name or isa()
    if name not in _compiled():
        raise NativeUnavailableError(f"No native kernels for {name!r}; use one of {', '.join(isas())}.")
    index, missing = _compiled()[name]
    if missing is not None:
        raise NativeUnavailableError(
            f"This machine lacks {missing}, so {name!r} cannot run; use one of {', '.join(isas())}."
        )
    return index


def screens(name: str | None = None) -> bool:
    """Whether an instruction set has a bf16 screening engine."""
    return bool(load_library().fgvc_isa_screens(isa_index(name)))


def screening_pays(name: str | None = None) -> bool:
    """Whether bf16 screening is faster than fp32 with this instruction set on this CPU."""
    return bool(load_library().fgvc_isa_screening_pays(isa_index(name)))


def available() -> tuple[bool, str]:
    """(True, instruction set in use) or (False, the reason and what mends it)."""
    try:
        return True, isa()
    except NativeUnavailableError as error:
        return False, str(error)
