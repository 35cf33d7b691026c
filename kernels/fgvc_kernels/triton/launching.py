"""Checks and small caches shared by the launchers.  No kernels here."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Literal

import torch

from .config import padded_channels
from .errors import KernelArgumentError
from .offsets import MAX_SIDE, offset_table

FEATURE_TYPES = (torch.float16, torch.bfloat16, torch.float32)


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, whose `tl.dot` silently multiplies the raw bits of bf16."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache(maxsize=32)
def device_offsets(
    window: Literal["circle", "square"],
    radius: float,
    hw: tuple[int, int],
    tile: tuple[int, int],
    block: int,
    device: torch.device,
) -> torch.Tensor:
    """The offset table on a device, uploaded once."""
    return torch.tensor(offset_table(window, radius, hw, tile, block), device=device)


def require_tensor(
    name: str,
    tensor: torch.Tensor,
    dtypes: tuple[torch.dtype, ...],
    shape: tuple[int | None, ...],
    device: torch.device | None = None,
) -> None:
    """Raise KernelArgumentError unless the tensor is contiguous with one of the types and that shape (None: any)."""
    fits = tensor.dim() == len(shape) and all(w in (None, g) for w, g in zip(shape, tensor.shape, strict=True))
    if tensor.dtype not in dtypes or not fits:
        wanted = ", ".join("?" if size is None else str(size) for size in shape)
        types = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        found = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
        raise KernelArgumentError(f"`{name}` must be {types} [{wanted}], not {found}.")
    if not tensor.is_contiguous():
        raise KernelArgumentError(f"`{name}` must be contiguous: call .contiguous() on it.")
    if device is not None and tensor.device != device:
        raise KernelArgumentError(f"`{name}` is on {tensor.device}, the other tensors on {device}: move it there.")


def require_features(query: torch.Tensor, keys: torch.Tensor, hw: tuple[int, int]) -> int:
    """Number of channels of query [H*W, C] and keys [R, H*W, C]; raises KernelArgumentError when they do not fit."""
    if not all(1 <= side <= MAX_SIDE for side in hw):
        raise KernelArgumentError(f"A map of {hw[0]} x {hw[1]} is not supported: sides are 1 to {MAX_SIDE}.")
    pixels = hw[0] * hw[1]
    require_tensor("query", query, FEATURE_TYPES, (pixels, None))
    channels = query.shape[1]
    padded_channels(channels)
    require_tensor("keys", keys, (query.dtype,), (None, pixels, channels), query.device)
    if pixels * channels >= 2**31 or keys.shape[0] * pixels >= 2**31:
        raise KernelArgumentError(f"Maps of {hw[0]} x {hw[1]} x {channels} are too large for 32-bit positions.")
    return channels


def require_slots(slots: torch.Tensor, device: torch.device) -> None:
    """Raise KernelArgumentError unless `slots` is a non-empty int32 [T] on the device."""
    require_tensor("slots", slots, (torch.int32,), (None,), device)
    if not len(slots):
        raise KernelArgumentError("`slots` must name at least one key frame.")
