"""The mask read-out as one call: both kernels of `argmax_masks.py`, and the plain version beside them."""

from __future__ import annotations

import torch
import triton

from .argmax_masks import CONFIG, FAINT, argmax_masks_kernel, mask_ranges_kernel
from .config import Config
from .launching import require_tensor
from .readout_launch import check_labels
from .taps import AxisTaps, axis_taps, upsample


def launch_argmax_masks(
    labels: torch.Tensor,
    ids: torch.Tensor,
    feature_hw: tuple[int, int],
    out_hw: tuple[int, int],
    network_hw: tuple[int, int],
    *,
    stride: int = 2,
    reference: bool = False,
    normalise: bool = True,
    faint: float = FAINT,
    config: Config = CONFIG,
) -> torch.Tensor:
    """Object ids uint8 [H, W] at `out_hw` from label maps [h*w, K] of a frame of `network_hw` network pixels.

    `ids` uint8 [K] names the classes.  Without `normalise` the plain labels compete.  Raises KernelArgumentError.
    """
    classes = check_labels(labels, feature_hw, out_hw)
    require_tensor("ids", ids, (torch.uint8,), (max(1, classes),), labels.device)
    rows, cols = mask_taps(feature_hw, out_hw, network_hw, stride, reference, labels.device)
    tables = (rows.low, rows.weight, cols.low, cols.weight)
    sizes = (*feature_hw, *out_hw, classes)
    tiles = argmax_masks_grid(out_hw, config)
    ranges = labels.new_empty((classes, 2, tiles[0]), dtype=torch.float32)
    mask = torch.empty(out_hw, dtype=torch.uint8, device=labels.device)
    if normalise:
        grid = (tiles[0], classes)
        mask_ranges_kernel[grid](labels, *tables, *sizes, ranges, **config.tiles, **config.options)
    argmax_masks_kernel[tiles](
        *(labels, ranges, ids, *tables, *sizes, mask),
        NORMALISE=normalise,
        REFERENCE=reference,
        FAINT=faint,
        **config.tiles,
        **config.options,
    )
    return mask


def argmax_masks_grid(out_hw: tuple[int, int], config: Config = CONFIG) -> tuple[int]:
    """Programs of one launch: tiles of pixels (the ranges take one such set per class, along axis 1)."""
    return (triton.cdiv(out_hw[0], config.tiles["TILE_Y"]) * triton.cdiv(out_hw[1], config.tiles["TILE_X"]),)


def mask_taps(
    feature_hw: tuple[int, int],
    out_hw: tuple[int, int],
    network_hw: tuple[int, int],
    stride: int,
    reference: bool,
    device: torch.device,
) -> tuple[AxisTaps, AxisTaps]:
    """Taps of rows and columns at the size of the mask."""
    sizes = zip(feature_hw, out_hw, network_hw, strict=True)
    rows, cols = (axis_taps(n, m, stride, u, reference, device) for n, m, u in sizes)
    return rows, cols


def argmax_masks_reference(
    labels: torch.Tensor,
    ids: torch.Tensor,
    feature_hw: tuple[int, int],
    out_hw: tuple[int, int],
    network_hw: tuple[int, int],
    *,
    stride: int = 2,
    reference: bool = False,
    normalise: bool = True,
    faint: float = FAINT,
) -> torch.Tensor:
    """The same in plain PyTorch: every class upsampled whole."""
    taps = mask_taps(feature_hw, out_hw, network_hw, stride, reference, labels.device)
    values = upsample(labels.float().T.reshape(-1, *feature_hw), *taps)
    if normalise:
        low, high = (pick(values.flatten(1), dim=1)[:, None, None] for pick in (torch.amin, torch.amax))
        stretched = (values - low) / (high - low + 1e-12)
        competes = high > 0 if reference else high >= faint
        values = torch.where(competes, stretched, values if reference else torch.tensor(-torch.inf))
    return ids[values.argmax(0)]
