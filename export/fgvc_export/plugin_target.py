"""Targets `plugin:sm_XX`: the matching kernel as PTX for TensorRT's plugins, and the file that registers it.

With it a C++ program can match inside its engine.  Nothing here runs: there is no GPU, and no TensorRT is needed.
"""

from __future__ import annotations

import io
from importlib import resources
from typing import Literal, cast

import numpy as np

from fgvc_deploy.bundle import ParityNotRun, Payload
from fgvc_deploy.errors import BackendError, InputError
from fgvc_export.cubin_target import FIGURES, NOT_RUN
from fgvc_export.targets import Choice, Source, Tell
from fgvc_kernels.aot.build import KernelBuild
from fgvc_kernels.aot.chips import chip
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.plugin import compile_plugin
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.offsets import offset_table

KERNEL = "local_topk"
# A map this large has the whole window around every pixel, so its table serves all sizes: keys outside a smaller map
# are tested for and left out.
_LARGE = (4096, 4096)


def payloads(choice: Choice, source: Source, tell: Tell) -> list[Payload]:
    """`plugins/sm_XX/`: local_topk.ptx, its .json, local_topk_plugin.py and window_offsets.npy.

    Raises `BackendError` when the kernel does not compile, `InputError` for settings that the plugin cannot have.
    """
    target = chip(choice.row.name.partition(":")[2])
    if source.propagation.mode != "local":
        raise InputError("The TensorRT plugin matches in one local window; it has no coarse-to-fine mode.")
    tell(f"compiling the plugin for {target.name}", 0.0)
    try:
        build = _build(source, choice.precision)
        ptx, metadata = compile_plugin(build, target)
    except (AotError, KernelArgumentError) as error:
        raise BackendError(str(error)) from error
    folder = choice.row.file_name[choice.precision]
    parity = ParityNotRun(figure=FIGURES[KERNEL], not_run=NOT_RUN)
    runtime = choice.row.runtime
    return [
        Payload("kernel", runtime, f"{folder}/{KERNEL}.ptx", ptx, choice.precision, (parity,)),
        Payload("document", runtime, f"{folder}/{KERNEL}.json", metadata.to_json()),
        Payload("document", runtime, f"{folder}/{KERNEL}_plugin.py", _definition()),
        Payload("document", runtime, f"{folder}/window_offsets.npy", _offsets(source, build)),
    ]


def _build(source: Source, precision: str) -> KernelBuild:
    from fgvc_kernels.triton.table import KERNELS, Build

    settings = Build(
        feature=cast("Literal['fp16', 'bf16']", precision),
        channels=source.settings.channels,
        topk=source.propagation.topk,
        temperature=source.propagation.temperature,
        window=source.propagation.window,
    )
    return KernelBuild.of(KERNELS[KERNEL](settings))


def _definition() -> bytes:
    return resources.files("fgvc_kernels.aot").joinpath("tensorrt_plugin.py").read_bytes()


def _offsets(source: Source, build: KernelBuild) -> bytes:
    """The window's table as .npy, int32 [n * BLOCK]."""
    tile = int(build.constexprs["TILE_Y"]), int(build.constexprs["TILE_X"])
    propagation = source.propagation
    block = int(build.constexprs["BLOCK"])
    table = offset_table(propagation.window, propagation.radius, _LARGE, tile, block)
    stream = io.BytesIO()
    np.save(stream, table)
    return stream.getvalue()
