"""Compile one Triton kernel for one chip, without a GPU: kernel + types + constants -> cubin, PTX and metadata.

Only compilation lives here; what the machine code does is read in `machine_code.py` and judged in `gates.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fgvc_kernels.aot.chips import Chip
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.machine_code import read_cubin
from fgvc_kernels.aot.tools import assembler_version

if TYPE_CHECKING:
    from triton.runtime.jit import JITFunction

    from fgvc_kernels.triton.config import Variant

Constant = int | float | bool | str
CONSTEXPR = "constexpr"
WIDE = 16
"""What an address must be a multiple of for loads of 128 bits."""
# Triton reads these and then makes other machine code, or none; a build must depend on its inputs alone.
_DISTURBING = (
    "TRITON_INTERPRET",
    "TRITON_OVERRIDE_ARCH",
    "TRITON_KERNEL_OVERRIDE",
    "TRITON_INSTRUMENTATION_MODE",
    "TRITON_FORCE_DISABLE_FP_FUSION",
    "TRITON_MOCK_PTX_VERSION",
    "TRITON_LIBDEVICE_PATH",
    "TRITON_PTXAS_PATH",
    "TRITON_PTXAS_BLACKWELL_PATH",
    "DISABLE_PTXAS_OPT",
    "PTXAS_OPTIONS",
)


@dataclass(frozen=True)
class KernelBuild:
    """What determines the machine code of one kernel, beside the chip.

    `signature` maps every argument of `function`, in order, to `*fp16`, `*fp32`, `i32`, `fp32` ... or `constexpr`;
    `constexprs` gives the values of the latter.  `divisible` names the arguments that are multiples of 16 (pointers:
    aligned to 16 bytes): without it ahead of time nothing is loaded in vectors.  `fp_fusion` lets a * b + c round
    once.  `max_registers` caps the registers per thread; `ptx_version` (86 = 8.6) is the newest PTX to use, None for
    that of the assembler.
    """

    name: str
    function: JITFunction[Any]
    signature: Mapping[str, str]
    constexprs: Mapping[str, Constant]
    divisible: frozenset[str]
    num_warps: int
    num_stages: int
    fp_fusion: bool = True
    max_registers: int | None = None
    ptx_version: int | None = None

    @classmethod
    def of(cls, variant: Variant) -> KernelBuild:
        """The build of a row of the kernel table."""
        function = cast("JITFunction[Any]", variant.kernel)
        kinds = {param.name: param.kind for param in variant.params}
        return cls(
            name=variant.name,
            function=function,
            signature={name: kinds.get(name, CONSTEXPR) for name in function.arg_names},
            constexprs=dict(variant.constexprs),
            divisible=frozenset(param.name for param in variant.params if param.divisible_by == WIDE),
            num_warps=variant.config.num_warps,
            num_stages=variant.config.num_stages,
            fp_fusion=variant.config.fp_fusion,
        )

    def arguments(self) -> dict[str, str]:
        """Arguments that exist at launch, in order, with their types."""
        return {name: kind for name, kind in self.signature.items() if kind != CONSTEXPR}

    def check(self) -> None:
        """Raise `AotError` when types, constants and the function's own arguments do not belong together."""
        own = list(self.function.arg_names)
        if list(self.signature) != own:
            raise AotError(f"Kernel {self.name} takes {', '.join(own)}; its types name {', '.join(self.signature)}.")
        constants = {name for name, kind in self.signature.items() if kind == CONSTEXPR}
        if constants != set(self.constexprs):
            wrong = ", ".join(sorted(constants ^ set(self.constexprs)))
            raise AotError(f"Kernel {self.name}: {wrong} must be a constexpr with a value, or neither.")
        if not self.divisible <= set(self.arguments()):
            wrong = ", ".join(sorted(self.divisible - set(self.arguments())))
            raise AotError(f"Kernel {self.name}: {wrong} cannot be divisible by 16, it is no argument at launch.")


@dataclass(frozen=True)
class Compiled:
    """The result: machine code, its PTX, the function's name in both, and what a launch must provide."""

    build: KernelBuild
    chip: Chip
    cubin: bytes
    ptx: str
    symbol: str
    num_warps: int
    num_ctas: int
    shared_bytes: int
    tensor_columns: int
    global_scratch_bytes: int
    profile_scratch_bytes: int
    versions: dict[str, str] = field(default_factory=dict)


def compile_kernel(build: KernelBuild, chip: Chip, cache: Path | None = None) -> Compiled:
    """Compile `build` for `chip`; the same inputs and versions give the same bytes, wherever the sources lie.

    `cache` is where Triton keeps and finds results; None is its own folder.  Raises `AotError` when the kernel does
    not compile, its arguments are inconsistent, or the environment would change the machine code.
    """
    _refuse_disturbances()
    build.check()
    from triton import __version__, knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as triton_compile

    source = ASTSource(build.function, dict(build.signature), dict(build.constexprs), _attributes(build))
    with knobs.compilation.scope(), knobs.cache.scope():
        # Line tables hold the path of the sources: with them the hash would depend on the checkout's folder.
        knobs.compilation.disable_line_info = True
        if cache is not None:
            knobs.cache.dir = str(cache)
        try:
            made = triton_compile(source, GPUTarget("cuda", chip.capability, 32), _options(build))
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise AotError(f"Kernel {build.name} does not compile for {chip.name}: {reason}") from error
    facts = made.metadata
    return Compiled(
        build=build,
        chip=chip,
        cubin=made.asm["cubin"],
        ptx=made.asm["ptx"],
        symbol=facts.name,
        num_warps=facts.num_warps,
        num_ctas=facts.num_ctas,
        shared_bytes=facts.shared,
        tensor_columns=facts.tmem_size or 0,
        global_scratch_bytes=facts.global_scratch_size,
        profile_scratch_bytes=facts.profile_scratch_size,
        versions={"triton": __version__, "ptxas": assembler_version(chip)},
    )


# Tried in turn; 112 and 144 are two steps between what lets five, four and three blocks of four warps reside.
_REGISTER_CAPS = (112, 128, 144, 168, 255)


def compile_without_spills(build: KernelBuild, chip: Chip, cache: Path | None = None) -> Compiled:
    """As `compile_kernel`, with the least cap on registers that spares the kernel its stack, where there is one.

    Left alone, ptxas 12.9 stops at 96 registers and spills a few where shared memory, not registers, limits the
    blocks of a multiprocessor.  A build that states its cap keeps it.
    """
    first = compile_kernel(build, chip, cache)
    if build.max_registers is not None or not _uses_stack(first):
        return first
    capped = (compile_kernel(replace(build, max_registers=cap), chip, cache) for cap in _REGISTER_CAPS)
    return next((made for made in capped if not _uses_stack(made)), first)


def _uses_stack(compiled: Compiled) -> bool:
    return read_cubin(compiled.cubin, compiled.symbol).frame_bytes > 0


def _options(build: KernelBuild) -> dict[str, Any]:
    # enable_fp_fusion: said, because its default changes between Triton 3.9 and 3.10.
    options = {"num_warps": build.num_warps, "num_stages": build.num_stages, "enable_fp_fusion": build.fp_fusion}
    return options | {"maxnreg": build.max_registers, "ptx_version": build.ptx_version}


def _attributes(build: KernelBuild) -> dict[tuple[int], list[list[Any]]]:
    return {(i,): [["tt.divisibility", 16]] for i, name in enumerate(build.signature) if name in build.divisible}


def _refuse_disturbances() -> None:
    present = [name for name in _DISTURBING if os.environ.get(name)]
    if present:
        names = ", ".join(present)
        raise AotError(f"{names} in the environment would change the machine code; unset it and run again.")
