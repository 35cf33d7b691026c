"""The kernels of one bundle's settings, found and checked once: what tracking with these settings launches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.cubins.images import Constant
from fgvc_deploy.gpu.cubins.kernel_set import Kernel, KernelSet
from fgvc_deploy.gpu.launches.plans import tile_of
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.settings import EncoderSettings, PropagationSettings


@dataclass(frozen=True, slots=True)
class Coarse:
    """What the coarse-to-fine mode needs beside: cells are pooled, and matched within `window`, in cells."""

    pool: Kernel
    match: Kernel
    window: Window

    @property
    def scale(self) -> int:
        """Pixels along the side of a cell."""
        return self.pool.constant("SCALE")


@dataclass(frozen=True, slots=True)
class TrackingKernels:
    """Kernels by what they do.  `match` gives weights for one group, `match_frames` scores for each frame apart.

    `coarse` is None for exact matching.
    """

    match: Kernel
    match_frames: Kernel
    merge: Kernel
    propagate: Kernel
    feature_kind: str
    coarse: Coarse | None = None

    @classmethod
    def of(cls, kernels: KernelSet, encoder: EncoderSettings, settings: PropagationSettings) -> Self:
        """Load them; BackendError when the bundle's kernels were compiled for other settings than these."""
        if settings.mode == "coarse_to_fine":
            return cls._coarse_to_fine(kernels, encoder, settings)
        match = kernels.get("local_topk")
        _check(match, _common(encoder, settings) | {"SQUARE": settings.window == "square"})
        found = cls._with(
            kernels, match, kernels.get("local_topk_scores", C=encoder.channels, K=settings.topk), settings
        )
        if tile_of(found.match_frames) != tile_of(match):
            raise BackendError("the bundle's kernels do not belong together; export it again.")
        return found

    @classmethod
    def _coarse_to_fine(cls, kernels: KernelSet, encoder: EncoderSettings, settings: PropagationSettings) -> Self:
        scale, radius = settings.coarse_scale, settings.fine_radius
        match = kernels.get("refine")
        _check(match, _common(encoder, settings) | {"SCALE": scale, "FINE_RADIUS": radius})
        coarse = Coarse(
            kernels.get("pool_cells", C=encoder.channels, SCALE=scale),
            kernels.get("coarse_topk", C=encoder.channels, K=1, SQUARE=False),
            Window("circle", settings.coarse_radius),
        )
        lists = kernels.get("refine_scores", C=encoder.channels, K=settings.topk, SCALE=scale, FINE_RADIUS=radius)
        return cls._with(kernels, match, lists, settings, coarse)

    @classmethod
    def _with(
        cls,
        kernels: KernelSet,
        match: Kernel,
        lists: Kernel,
        settings: PropagationSettings,
        coarse: Coarse | None = None,
    ) -> Self:
        k = settings.topk
        merge, propagate = kernels.get("merge_topk", K=k), kernels.get("propagate", K=k)
        return cls(match, lists, merge, propagate, _pointee(match, "query"), coarse)


def _common(encoder: EncoderSettings, settings: PropagationSettings) -> dict[str, Constant]:
    """What is compiled into the kernel that matches; the radius is not."""
    return {"C": encoder.channels, "K": settings.topk, "TEMPERATURE": settings.temperature}


def _check(match: Kernel, wanted: dict[str, Constant]) -> None:
    found = match.metadata.constexprs
    for name, value in wanted.items():
        if found.get(name) != value:
            raise BackendError(
                f"the bundle's GPU kernels were compiled for {_WORDS[name]} {found.get(name)}, not {value}; export "
                "the checkpoint again with these settings, or use --backend native."
            )


_WORDS = {
    "C": "channels",
    "K": "k",
    "TEMPERATURE": "temperature",
    "SQUARE": "square windows",
    "SCALE": "a coarse scale of",
    "FINE_RADIUS": "a fine radius of",
}


def _pointee(kernel: Kernel, parameter: str) -> str:
    """What a pointer parameter points to: `fp16` for `*fp16`."""
    return next(p.type for p in kernel.metadata.params if p.name == parameter).removeprefix("*")
