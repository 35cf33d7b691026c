"""Which builds the baseline and the gates cover: every kernel with the settings of the encoders that we ship."""

from __future__ import annotations

from fgvc_kernels.aot.build import KernelBuild
from fgvc_kernels.triton.table import Build, variants

SETTINGS: dict[str, Build] = {
    "resnet18_d1": Build(),
    "edge_lite0": Build(channels=176),
    "resnet18_d1.bf16": Build(feature="bf16"),
}
"""By encoder; the first is the paper's."""


def catalogue() -> dict[str, KernelBuild]:
    """Builds by name, `local_topk.resnet18_d1`; a kernel that other settings do not change appears once."""
    found: dict[str, KernelBuild] = {}
    for encoder, settings in SETTINGS.items():
        for variant in variants(settings):
            build = KernelBuild.of(variant)
            if build not in found.values():
                found[f"{variant.name}.{encoder}"] = build
    return found
