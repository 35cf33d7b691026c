"""What each GPU kernel takes and was compiled with, as the emulated driver's cubins have it.

tests/deploy/gpu/test_gpu_kernel_table.py holds it against the kernels themselves.
"""

from __future__ import annotations

from typing import Any

from fgvc_deploy.settings import EncoderSettings, PropagationSettings

Parameters = list[tuple[str, str, int]]


def _integers(names: str) -> Parameters:
    return [(name, "i32", 1) for name in names.split()]


def kernel_table(
    encoder: EncoderSettings, settings: PropagationSettings, feature: str = "fp16"
) -> dict[str, tuple[Parameters, dict[str, Any]]]:
    """Name -> parameters (name, type, divisible by) and constants, as the kernels are compiled for these settings."""
    k, channels = settings.topk, encoder.channels
    padded = 1 << (channels - 1).bit_length()
    match: Parameters = [
        *((name, f"*{feature}", 16) for name in ("query", "keys")),
        ("slots", "*i32", 1),
        ("offsets", "*i32", 16),
        *_integers("height width frames frames_per_split blocks limit"),
        ("positions", "*i32", 16),
        ("values", "*fp32", 16),
    ]
    constants = {
        "C": channels,
        "PADDED_C": padded,
        "K": k,
        "SLOTS": 16,
        "TILE_Y": 8,
        "TILE_X": 8,
        "BLOCK": 32,
        "SQUARE": settings.window == "square",
        "TEMPERATURE": settings.temperature,
        "UPCAST": False,
    }
    propagate: Parameters = [
        ("positions", "*i32", 16),
        ("weights", "*fp32", 16),
        ("labels", "*fp32", 16),
        ("slots", "*i32", 1),
        *_integers("pixels channels"),
        ("out", "*fp32", 16),
    ]
    merge: Parameters = [
        ("list_positions", "*i32", 16),
        ("list_scores", "*fp32", 16),
        ("lists", "*i32", 1),
        *_integers("pixels count"),
        ("positions", "*i32", 16),
        ("values", "*fp32", 16),
    ]
    merge_constants = {"K": k, "SLOTS": 16, "ROWS": 16, "RENUMBER": True, "TEMPERATURE": settings.temperature}
    normalise: Parameters = [("features", "*fp32", 16), *_integers("pixels"), ("out", f"*{feature}", 16)]
    table: dict[str, tuple[Parameters, dict[str, Any]]] = {
        "local_topk": (match, constants),
        "local_topk_scores": (match, constants | {"TEMPERATURE": 0.0}),
        "propagate": (propagate, {"K": k, "PIXELS": 64, "CHANNELS": 16}),
        "merge_topk": (merge, merge_constants),
        **_coarse_table(match, constants, settings),
        "normalise": (normalise, {"C": channels, "PADDED_C": padded, "PIXELS": 32}),
    }
    return table | _readout_table(encoder.stride) | _appearance_table(feature, {"C": channels, "PADDED_C": padded})


def _readout_table(stride: int) -> dict[str, tuple[Parameters, dict[str, Any]]]:
    labels: Parameters = [("labels", "*fp32", 16)]
    bounds: Parameters = [*labels, *_integers("height width maps"), ("bounds", "*fp32", 16)]
    points: Parameters = [
        *labels,
        ("bounds", "*fp32", 16),
        *_taps("start"),
        *_integers("height width out_width maps units"),
        ("xy", "*fp32", 16),
        ("peak", "*fp32", 16),
    ]
    point_constants = {"COUNT": 5, "SPAN": 1 << (stride - 1).bit_length(), "VANISHED": 1e-6, "REFERENCE": False}
    sizes = _integers("height width out_height out_width maps")
    ranges: Parameters = [*labels, *_taps("low"), *sizes, ("ranges", "*fp32", 16)]
    masks: Parameters = [
        *labels,
        ("ranges", "*fp32", 16),
        ("ids", "*u8", 1),
        *_taps("low"),
        *sizes,
        ("mask", "*u8", 16),
    ]
    tile = {"TILE_Y": 16, "TILE_X": 32}
    return {
        "readout_bounds": (bounds, {"CELLS": 32, "CHANNELS": 16}),
        "readout": (points, point_constants | {"CELLS": 32, "CHUNK": 512}),
        "mask_ranges": (ranges, tile),
        "argmax_masks": (masks, tile | {"NORMALISE": True, "REFERENCE": False, "FAINT": 0.05}),
    }


def _coarse_table(
    match: Parameters, constants: dict[str, Any], settings: PropagationSettings
) -> dict[str, tuple[Parameters, dict[str, Any]]]:
    widths = {name: constants[name] for name in ("C", "PADDED_C")}
    scale, kind = settings.coarse_scale, match[0][1]
    pool: Parameters = [("features", kind, 16), *_integers("height width"), ("out", kind, 16)]
    refine: Parameters = [
        *((name, kind, 16) for name in ("query", "keys")),
        ("slots", "*i32", 1),
        ("matched", "*i32", 16),
        *_integers("height width frames frames_per_split"),
        ("positions", "*i32", 16),
        ("values", "*fp32", 16),
    ]
    names = ("C", "PADDED_C", "K", "SLOTS", "TEMPERATURE", "UPCAST", "BLOCK")
    fine = {name: constants[name] for name in names} | {
        "SCALE": scale,
        "FINE_RADIUS": settings.fine_radius,
        "ROWS": max(16, 1 << (scale * scale - 1).bit_length()),
    }
    return {
        "pool_cells": (pool, widths | {"SCALE": scale, "CELLS": 16}),
        "coarse_topk": (match, constants | {"K": 1, "TEMPERATURE": 0.0, "SQUARE": False}),
        "refine": (refine, fine),
        "refine_scores": (refine, fine | {"TEMPERATURE": 0.0}),
    }


def _appearance_table(feature: str, widths: dict[str, int]) -> dict[str, tuple[Parameters, dict[str, Any]]]:
    mass: Parameters = [("labels", "*fp32", 16), *_integers("pixels maps"), ("partials", "*fp32", 16)]
    appearance: Parameters = [
        ("features", f"*{feature}", 16),
        *((name, "*fp32", 16) for name in ("xy", "partials")),
        *_integers("height width stride maps parts first"),
        *((name, "*fp32", 16) for name in ("last", "looks", "similarity", "mass")),
    ]
    return {
        "label_mass": (mass, {"PIXELS": 64, "ROUNDS": 16, "CHANNELS": 16}),
        "appearance": (appearance, widths | {"PARTS": 32}),
    }


def _taps(index: str) -> Parameters:
    return [
        (f"row_{index}", "*i32", 1),
        ("row_weight", "*fp32", 1),
        (f"col_{index}", "*i32", 1),
        ("col_weight", "*fp32", 1),
    ]
