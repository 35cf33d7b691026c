"""Kernels and their plain references.  Imports nothing of ours.

Importing this package imports neither torch nor triton; the PyTorch operators below are fetched when they are asked
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgvc_kernels.triton.ops import local_topk, propagate

__all__ = ["local_topk", "propagate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fgvc_kernels.triton import ops

    return getattr(ops, name)


def __dir__() -> list[str]:
    return __all__
