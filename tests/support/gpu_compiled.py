"""A bundle with kernels for the GPU that is really here; used by the tests marked `gpu` only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, open_bundle, write_bundle
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu import probe
from fgvc_deploy.gpu.cubins.chips import chip_of
from fgvc_deploy.model import DEFAULT_BUNDLE


def bundle_for_the_gpu_here(folder: Path) -> Bundle:
    """FGVC_GPU_BUNDLE, or the shipped bundle with kernels compiled here; skips without a GPU."""
    try:
        chip = chip_of(probe.device().compute_capability)
    except BackendError as error:
        if os.environ.get("FGVC_REQUIRE_GPU") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    given = os.environ.get("FGVC_GPU_BUNDLE")
    return open_bundle(given) if given else _compiled(chip, folder)


def _compiled(chip: str, folder: Path) -> Bundle:
    pytest.importorskip("triton")
    from fgvc_kernels.aot.build import KernelBuild, compile_kernel
    from fgvc_kernels.aot.chips import CHIPS
    from fgvc_kernels.aot.metadata import describe
    from fgvc_kernels.triton.table import Build, variants

    shipped = open_bundle(DEFAULT_BUNDLE)
    manifest, settings = shipped.manifest, shipped.manifest.propagation
    payloads = [
        Payload(a.kind, a.target, a.path, shipped.read(a), a.precision)
        for a in manifest.artefacts
        if a.kind != "document"
    ]
    build = Build(
        channels=manifest.encoder.channels,
        stride=manifest.encoder.stride,
        topk=settings.topk,
        temperature=settings.temperature,
        window=settings.window,
        coarse_scale=settings.coarse_scale,
        fine_radius=settings.fine_radius,
    )
    for variant in variants(build):
        made = compile_kernel(KernelBuild.of(variant), CHIPS[chip])
        path = f"kernels/{chip}/{variant.name}"
        payloads.append(Payload("kernel", f"cubin:{chip}", f"{path}.cubin", made.cubin, "fp16"))
        payloads.append(Payload("document", f"cubin:{chip}", f"{path}.json", describe(made).to_json()))
    draft = BundleDraft(
        manifest.encoder, manifest.preprocess, settings, manifest.default_size, manifest.provenance, tuple(payloads)
    )
    return write_bundle(draft, folder)
