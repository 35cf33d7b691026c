"""The kernels of one bundle's settings, found and checked once: what tracking with these settings launches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.kernel_set import Kernel, KernelSet
from fgvc_deploy.gpu.plans import tile_of
from fgvc_deploy.settings import EncoderSettings, PropagationSettings


@dataclass(frozen=True, slots=True)
class TrackingKernels:
    """Kernels by what they do.  `match` gives weights for one group, `match_frames` scores for each frame apart."""

    match: Kernel
    match_frames: Kernel
    merge: Kernel
    propagate: Kernel
    feature_kind: str

    @classmethod
    def of(cls, kernels: KernelSet, encoder: EncoderSettings, settings: PropagationSettings) -> Self:
        """Load them; BackendError when the bundle's kernels were compiled for other settings than these."""
        if settings.mode != "local":
            raise BackendError(
                "coarse-to-fine matching does not run on the GPU; use --mode local, or --backend native."
            )
        match = kernels.get("local_topk")
        _check_settings(match, encoder, settings)
        k = settings.topk
        found = cls(
            match,
            kernels.get("local_topk_scores", K=k, C=encoder.channels),
            kernels.get("merge_topk", K=k),
            kernels.get("propagate", K=k),
            _pointee(match, "query"),
        )
        if tile_of(found.match_frames) != tile_of(match):
            raise BackendError("the bundle's kernels do not belong together; export it again.")
        return found


def _check_settings(match: Kernel, encoder: EncoderSettings, settings: PropagationSettings) -> None:
    """k, temperature, window and channels are compiled in; the radius is not."""
    wanted = {
        "C": encoder.channels,
        "K": settings.topk,
        "TEMPERATURE": settings.temperature,
        "SQUARE": settings.window == "square",
    }
    found = match.metadata.constexprs
    for name, value in wanted.items():
        if found.get(name) != value:
            raise BackendError(
                f"the bundle's GPU kernels were compiled for {_WORDS[name]} {found.get(name)}, not {value}; export "
                "the checkpoint again with these settings, or use --backend native."
            )


_WORDS = {"C": "channels", "K": "k", "TEMPERATURE": "temperature", "SQUARE": "square windows"}


def _pointee(kernel: Kernel, parameter: str) -> str:
    """What a pointer parameter points to: `fp16` for `*fp16`."""
    return next(p.type for p in kernel.metadata.params if p.name == parameter).removeprefix("*")
