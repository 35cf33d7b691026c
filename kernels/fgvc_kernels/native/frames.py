"""Work done once per frame: unit features, and their bf16 copy for screening."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvc_kernels.native.arrays import aligned_empty, require_array, require_between
from fgvc_kernels.native.errors import NativeArgumentError
from fgvc_kernels.native.isa import isa_index
from fgvc_kernels.native.library import ROW_PADDING, load_library

NOT_UNIT = -4
MAX_THREADS = 256


@dataclass(frozen=True, slots=True)
class HalfFeatures:
    """bf16 copy of one frame's unit features around `centre`, with what the bound needs (docs/screening.md).

    `rows` uint16 [pixels + 16, padded C]; `bias`, `error`, `norm` float32 [pixels + 16]; `centre` float32 [C].
    Only frames with the same centre can be matched to each other.
    """

    rows: NDArray[np.uint16]
    bias: NDArray[np.float32]
    error: NDArray[np.float32]
    norm: NDArray[np.float32]
    centre: NDArray[np.float32]


def normalise(raw: NDArray[np.float32], *, threads: int = 1, isa: str | None = None) -> NDArray[np.float32]:
    """Unit features [pixels, C] of raw ones: raw / max(|raw|, 1e-12), as F.normalize (goldens item 10).

    The norm is summed in double, so rows of any finite size normalise.  Raises NativeArgumentError.
    """
    require_array("raw", raw, np.float32, (None, None))
    require_between("threads", threads, 1, MAX_THREADS)
    pixels, channels = raw.shape
    unit: NDArray[np.float32] = aligned_empty((pixels, channels), np.float32)
    if raw.size:
        library = load_library()
        library.fgvc_normalise(isa_index(isa), threads, pixels, channels, raw.ctypes.data, unit.ctypes.data)
    return unit


def halve(
    unit: NDArray[np.float32], centre: NDArray[np.float32], *, threads: int = 1, isa: str | None = None
) -> HalfFeatures:
    """Centred bf16 copy of unit features [pixels, C]; `centre` [C] is any vector no longer than 1.001.

    The closer the centre is to the mean feature, the fewer keys need an fp32 score; results do not depend on it.
    Raises NativeArgumentError, also when a row of `unit` is longer than 1.001 (it was not normalised).
    """
    require_array("unit", unit, np.float32, (None, None))
    pixels, channels = unit.shape
    require_array("centre", centre, np.float32, (channels,))
    require_between("threads", threads, 1, MAX_THREADS)
    if not float(np.linalg.norm(centre.astype(np.float64))) <= 1.001:
        raise NativeArgumentError("`centre` must be finite and no longer than 1.001: take a mean of unit features.")
    library = load_library()
    padded = pixels + ROW_PADDING
    half = HalfFeatures(
        rows=aligned_empty((padded, library.fgvc_padded_channels(channels)), np.uint16),
        bias=aligned_empty((padded,), np.float32),
        error=aligned_empty((padded,), np.float32),
        norm=aligned_empty((padded,), np.float32),
        centre=centre,
    )
    arrays = (unit, centre, half.rows, half.bias, half.error, half.norm)
    status = library.fgvc_halve(isa_index(isa), threads, pixels, channels, *(array.ctypes.data for array in arrays))
    if status == NOT_UNIT:
        raise NativeArgumentError("`unit` has rows longer than 1.001: normalise the features first.")
    if status:
        raise NativeArgumentError(f"The native library refused to pack {pixels}x{channels} features ({status}).")
    return half
