"""Arguments to bytes: what a launch passes to a kernel, laid out as its cubin's parameter table says."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from fgvc_deploy.gpu.cubins.metadata import KernelMetadata, Parameter

_FORMATS = {"i32": "<i", "u32": "<I", "fp32": "<f", "i64": "<q", "u64": "<Q", "fp64": "<d"}


def pack(metadata: KernelMetadata, values: Mapping[str, int | float]) -> bytes:
    """The parameter block of one launch: every value at its offset, hidden pointers null.

    `values` maps every parameter's name to a device address or a number.  Raises ValueError, for a mistake of ours
    and not of the user: a name too many or missing, a number that does not fit, an address less aligned than was
    promised to the compiler.
    """
    names = {parameter.name for parameter in metadata.params}
    if names != values.keys():
        odd = ", ".join(sorted(names ^ values.keys()))
        raise ValueError(f"kernel {metadata.kernel} was given other arguments than it takes: {odd}")
    block = bytearray(sum(metadata.layout[-1]))
    for parameter in metadata.params:
        struct.pack_into(_format(parameter), block, parameter.offset, _checked(metadata, parameter, values))
    return bytes(block)


def unpack(metadata: KernelMetadata, block: bytes) -> dict[str, int | float]:
    """The values that a parameter block holds, by name; the inverse of `pack`, for reports and tests."""
    return {p.name: struct.unpack_from(_format(p), block, p.offset)[0] for p in metadata.params}


def _format(parameter: Parameter) -> str:
    return "<Q" if parameter.is_pointer else _FORMATS[parameter.type]


def _checked(metadata: KernelMetadata, parameter: Parameter, values: Mapping[str, int | float]) -> int | float:
    value = values[parameter.name]
    whole = not parameter.type.startswith("fp")
    if whole and not isinstance(value, int):
        raise ValueError(f"{metadata.kernel}: {parameter.name} is {value!r}, not a whole number")
    if parameter.divisible_by > 1 and int(value) % parameter.divisible_by:
        raise ValueError(
            f"{metadata.kernel}: {parameter.name} is {value}, but it was compiled for multiples of "
            f"{parameter.divisible_by}"
        )
    try:
        struct.pack(_format(parameter), value)
    except (struct.error, OverflowError):
        raise ValueError(f"{metadata.kernel}: {parameter.name} = {value} does not fit {parameter.type}") from None
    return value
