"""The point read-out as one call: both kernels, and the plain version that upsamples every map whole."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton

from .config import Config
from .errors import KernelArgumentError
from .launching import require_tensor
from .propagate import LABEL_TYPES
from .readout import CONFIG, TOP, VANISHED, readout_kernel
from .readout_bounds import launch_readout_bounds
from .taps import AxisTaps, axis_taps, upsample


class Readout(NamedTuple):
    """Coordinates (x, y) fp32 [P, 2] in network pixels, and confidence fp32 [P]: the mean of the five best pixels."""

    xy: torch.Tensor
    peak: torch.Tensor


def launch_readout(
    labels: torch.Tensor,
    feature_hw: tuple[int, int],
    network_hw: tuple[int, int],
    *,
    stride: int = 2,
    reference: bool = False,
    config: Config = CONFIG,
) -> Readout:
    """Read P label maps [h*w, P] (fp32 or fp16, finite, >= 0) that stand for a frame of `network_hw` pixels.

    A vanished label is NaN; (-1, -1) with `reference`.  Raises KernelArgumentError.
    """
    maps = check_labels(labels, feature_hw, network_hw)
    found = Readout(*(labels.new_empty(shape, dtype=torch.float32) for shape in ((maps, 2), (maps,))))
    if not maps:
        return found
    bounds = launch_readout_bounds(labels, feature_hw)
    rows, cols = readout_taps(feature_hw, network_hw, stride, reference, labels.device)
    readout_kernel[(maps,)](
        *(labels, bounds, rows.start, rows.weight, cols.start, cols.weight),
        *(*feature_hw, network_hw[1], maps, len(bounds), *found),
        COUNT=min(TOP, network_hw[0] * network_hw[1]),
        SPAN=triton.next_power_of_2(max(rows.span, cols.span)),
        VANISHED=VANISHED,
        REFERENCE=reference,
        **config.tiles,
        **config.options,
    )
    return found


def check_labels(labels: torch.Tensor, feature_hw: tuple[int, int], out_hw: tuple[int, int]) -> int:
    """Number of label maps; raises KernelArgumentError unless labels are [h*w, P] and both sizes are usable."""
    require_tensor("labels", labels, LABEL_TYPES, (feature_hw[0] * feature_hw[1], None))
    if min(*feature_hw, *out_hw) < 1 or out_hw[0] * out_hw[1] >= 2**31:
        raise KernelArgumentError(f"Label maps of {feature_hw} cannot be read at {out_hw}: no pixels, or too many.")
    return labels.shape[1]


def readout_taps(
    feature_hw: tuple[int, int],
    network_hw: tuple[int, int],
    stride: int,
    reference: bool,
    device: torch.device,
) -> tuple[AxisTaps, AxisTaps]:
    """Taps of rows and columns at the network's size."""
    sizes = zip(feature_hw, network_hw, strict=True)
    rows, cols = (axis_taps(n, m, stride, m, reference, device) for n, m in sizes)
    return rows, cols


def readout_reference(
    labels: torch.Tensor,
    feature_hw: tuple[int, int],
    network_hw: tuple[int, int],
    *,
    stride: int = 2,
    reference: bool = False,
) -> Readout:
    """The same in plain PyTorch: upsample every map, sort every pixel."""
    taps = readout_taps(feature_hw, network_hw, stride, reference, labels.device)
    flat = upsample(labels.float().T.reshape(-1, *feature_hw), *taps).flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)[:, :TOP]
    value = flat.gather(1, order).double()
    total = value.sum(1, keepdim=True)
    peak = total / value.shape[1]
    lost = total == 0 if reference else peak < VANISHED
    share = value / (total + 1e-9 if reference else torch.where(lost, 1.0, total))
    places = torch.stack([order % network_hw[1], order // network_hw[1]], dim=2)
    xy = (share[:, :, None] * places).sum(1)
    return Readout(torch.where(lost, -1.0 if reference else torch.nan, xy).float(), peak[:, 0].float())
