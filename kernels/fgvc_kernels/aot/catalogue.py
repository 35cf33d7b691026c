"""Which builds the baseline and the gates cover: every kernel with the settings of the encoders that we ship."""

from __future__ import annotations

from fgvc_kernels.aot.build import KernelBuild
from fgvc_kernels.triton.table import KERNELS, Build

_OF_FEATURES = (
    "normalise",
    "local_topk",
    "local_topk_scores",
    "readout",
    "appearance",
    "pool_cells",
    "coarse_topk",
    "refine",
)

SETTINGS: dict[str, tuple[Build, tuple[str, ...]]] = {
    "resnet18_d1": (Build(), tuple(KERNELS)),
    "edge_lite0": (Build(channels=176, stride=4), _OF_FEATURES),
    "edge": (Build(channels=128, stride=4, temperature=0.1), _OF_FEATURES),
    "resnet18_d1.bf16": (Build(feature="bf16"), ("normalise", "local_topk")),
}
"""Settings by encoder, the paper's first, and the kernels to hold with them: those that the features change."""


def catalogue() -> dict[str, KernelBuild]:
    """Builds by name: `local_topk.resnet18_d1`."""
    return {
        f"{name}.{encoder}": KernelBuild.of(KERNELS[name](build))
        for encoder, (build, names) in SETTINGS.items()
        for name in names
    }
