"""PTX of `local_topk` as TensorRT launches it: without Triton's hidden pointers, checked by assembling it again.

TensorRT passes the inputs' pointers, integers, then the outputs' pointers, and nothing else; floats must be compiled
in.  The registration that uses the result is `tensorrt_plugin.py`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from fgvc_kernels.aot.build import Compiled, KernelBuild, compile_kernel
from fgvc_kernels.aot.chips import KIB, Chip
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.machine_code import parse_parameters
from fgvc_kernels.aot.metadata import HIDDEN_POINTERS, KernelMetadata, describe
from fgvc_kernels.aot.tools import assemble, dump

# The oldest PTX that knows each chip: the driver that builds the engine need not be newer than the chip.  Jetson's
# JetPack 6 (CUDA 12.6), for one, refuses the 8.8 that ptxas 12.9 would give.
_PTX_VERSION = {"sm_100": 86, "sm_103": 88, "sm_110": 90, "sm_120": 87, "sm_121": 88}
_OLDEST_PTX = 80
# CUDA gives a kernel more only after `cuFuncSetAttribute` (programming guide, note 3 of table 31), and nothing says
# that TensorRT calls it: its interface passes on the number of bytes and nothing else.
UNASKED_SHARED_BYTES = 48 * KIB


def plugin_build(build: KernelBuild, chip: Chip) -> KernelBuild:
    """The build of a plugin's PTX; raises `AotError` when TensorRT could not pass its arguments."""
    order = [_place(kind) for kind in build.arguments().values()]
    outputs_start = max((index for index, kind in enumerate(order) if kind == "integer"), default=-1) + 1
    inputs = order[: order.index("integer")] if "integer" in order else []
    middle = order[len(inputs) : outputs_start]
    if set(middle) - {"integer"} or "float" in order or not inputs or outputs_start == len(order):
        raise AotError(f"Kernel {build.name}: TensorRT passes input pointers, integers, then output pointers only.")
    return replace(build, ptx_version=_PTX_VERSION.get(chip.name, _OLDEST_PTX))


def _place(kind: str) -> str:
    return "pointer" if kind.startswith("*") else "float" if kind.startswith("fp") else "integer"


def compile_plugin(build: KernelBuild, chip: Chip, cache: Path | None = None) -> tuple[bytes, KernelMetadata]:
    """PTX without hidden pointers, and what a launch needs; raises `AotError` when it does not assemble to that."""
    compiled = _without_asking(plugin_build(build, chip), chip, cache)
    ptx = without_hidden_pointers(compiled)
    full = describe(compiled)
    table = parse_parameters(dump("cuobjdump", assemble(ptx, chip), "-elf"))
    expected = [(param.offset, param.size) for param in full.params]
    if [tuple(place) for place in table] != expected:
        raise AotError(
            f"The plugin's PTX takes {len(table)} parameters at other places than the {len(expected)} meant."
        )
    content = ptx.encode("ascii")
    own = {"hidden_pointers": 0, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return content, full.model_copy(update=own)


def _without_asking(build: KernelBuild, chip: Chip, cache: Path | None) -> Compiled:
    """The kernel, with one stage instead of two where that brings its shared memory below what must be asked for."""
    compiled = compile_kernel(build, chip, cache)
    if compiled.shared_bytes <= UNASKED_SHARED_BYTES:
        return compiled
    single = compile_kernel(replace(build, num_stages=1), chip, cache)
    return single if single.shared_bytes <= UNASKED_SHARED_BYTES else compiled


def without_hidden_pointers(compiled: Compiled) -> str:
    """The kernel's PTX with the last two parameters removed.

    Raises `AotError` when the kernel uses them: it then needs scratch memory, which TensorRT does not give.
    """
    scratch = compiled.global_scratch_bytes + compiled.profile_scratch_bytes
    names = [f"{compiled.symbol}_param_{len(compiled.build.arguments()) + i}" for i in range(HIDDEN_POINTERS)]
    head, opened, rest = compiled.ptx.partition(f".entry {compiled.symbol}(")
    parameters, closed, body = rest.partition(")")
    kept = [line for line in parameters.split(",") if not line.strip().endswith(tuple(names))]
    if not opened or len(kept) != len(compiled.build.arguments()):
        raise AotError(
            f"The PTX of {compiled.build.name} does not declare its {HIDDEN_POINTERS} hidden pointers last."
        )
    if scratch or any(re.search(rf"\b{name}\b", body) for name in names):
        raise AotError(f"Kernel {compiled.build.name} needs scratch memory, so it cannot be a TensorRT plugin.")
    return head + opened + ",".join(kept) + "\n" + closed + body
