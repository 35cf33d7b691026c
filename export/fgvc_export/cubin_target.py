"""Targets `cubin:sm_XX`: the GPU kernels, compiled for one chip with a bundle's settings, and how to launch each.

Nothing here needs a GPU, so nothing is run: the manifest says so where a parity figure would stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, cast

from fgvc_deploy.bundle import ParityNotRun, Payload
from fgvc_deploy.errors import BackendError
from fgvc_export.targets import Choice, Source, Tell
from fgvc_kernels.aot.build import Compiled, KernelBuild, compile_without_spills
from fgvc_kernels.aot.chips import chip
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.figures import figures
from fgvc_kernels.aot.gates import faults
from fgvc_kernels.aot.metadata import describe
from fgvc_kernels.triton.errors import KernelArgumentError

NOT_RUN = "no GPU"
# What the tests that need a GPU compare with the reference, by kernel.
FIGURES = {"local_topk": "match_score_max", "propagate": "carried_label_max"}
_OTHER_FIGURE = "parity"
# These gates are about speed; a kernel that breaks them still gives right answers.
_SLOW = ("spill",)


def payloads(choice: Choice, source: Source, tell: Tell) -> list[Payload]:
    """`kernels/sm_XX/NAME.cubin` and `NAME.json` for every kernel that this bundle's settings need.

    Raises `BackendError` when a kernel does not compile or does not fit the chip.
    """
    try:
        return list(_payloads(choice, source, tell))
    except (AotError, KernelArgumentError) as error:
        raise BackendError(str(error)) from error


def _payloads(choice: Choice, source: Source, tell: Tell) -> Iterator[Payload]:
    target = chip(choice.row.name.partition(":")[2])
    builds = _builds(source, choice.precision)
    for index, (stem, build) in enumerate(builds.items()):
        tell(f"compiling {build.name} for {target.name}", index / len(builds))
        compiled = compile_without_spills(build, target)
        _refuse_what_does_not_fit(compiled)
        folder = choice.row.file_name[choice.precision]
        parity = ParityNotRun(figure=FIGURES.get(build.name, _OTHER_FIGURE), not_run=NOT_RUN)
        path = f"{folder}/{stem}"
        yield Payload("kernel", choice.row.runtime, f"{path}.cubin", compiled.cubin, choice.precision, (parity,))
        yield Payload("document", choice.row.runtime, f"{path}.json", describe(compiled).to_json())


def _builds(source: Source, precision: str) -> dict[str, KernelBuild]:
    """Kernels by the name of their files."""
    from fgvc_kernels.triton.table import KERNELS, Build, variants

    propagation = source.propagation
    settings = Build(
        feature=cast("Literal['fp16', 'bf16']", precision),
        channels=source.settings.channels,
        topk=propagation.topk,
        temperature=propagation.temperature,
        window=propagation.window,
        stride=source.settings.stride,
        coarse_scale=propagation.coarse_scale,
        fine_radius=propagation.fine_radius,
    )
    # Those of coarse-to-fine as well: which mode runs is asked for where it runs (`--mode`).
    builds = {variant.name: KernelBuild.of(variant) for variant in variants(settings)}
    # An engine gives its features in fp32 or fp16; which one is known only where it runs.
    return builds | {"normalise.fp16": KernelBuild.of(KERNELS["normalise"](replace(settings, encoder="fp16")))}


def _refuse_what_does_not_fit(compiled: Compiled) -> None:
    broken = [fault for fault in faults(figures(compiled), compiled.chip) if fault.gate not in _SLOW]
    if broken:
        raise AotError(
            f"Kernel {compiled.build.name} does not fit {compiled.chip.name} with this bundle's settings: "
            f"{broken[0].text}; use fewer feature channels, or leave this target out."
        )
