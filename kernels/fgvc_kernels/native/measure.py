"""How well screening works on given features: `python -m fgvc_kernels.native.measure [FEATURES.npy]`.

Prints the figures of docs/screening.md: candidates per query under the proven bound for several low precisions
(float64, a sample of queries, no kernel involved), then what the kernel counted and took.  Not used at run time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_kernels import native

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
KEY_FRAMES, TOPK, SAMPLE = 6, 10, 200
BF16_ROUNDING, BF16_MASK = 0x7FFF, 0xFFFF0000


class Geometry(NamedTuple):
    """Feature size and window radius of one model."""

    height: int
    width: int
    channels: int
    radius: float


GEOMETRIES = (Geometry(128, 128, 256, 15.0), Geometry(64, 64, 96, 7.5), Geometry(128, 128, 64, 15.0))


def smooth_features(geometry: Geometry, frames: int, seed: int = 0) -> F32:
    """Features [frames, H, W, C] like an encoder's: smooth, moving slowly, ReLU, with a common mean."""
    rng = np.random.default_rng(seed)
    waves = 24
    frequency = rng.normal(0, 6.0, (waves, 2))
    phase = rng.uniform(0, 2 * np.pi, waves)
    mix = rng.standard_normal((waves, geometry.channels))
    y, x = np.mgrid[: geometry.height, : geometry.width] / max(geometry.height, geometry.width)
    stack = []
    for frame in range(frames):
        angle = (
            2 * np.pi * (x[..., None] * frequency[:, 0] + (y + 0.004 * frame)[..., None] * frequency[:, 1]) + phase
        )
        raw = np.sin(angle) @ mix + 0.3 * rng.standard_normal((*x.shape, geometry.channels))
        stack.append(np.maximum(raw + 2.0, 0).astype(np.float32))
    return np.stack(stack)


def to_bf16(values: F64) -> F64:
    """Nearest bf16, ties to even."""
    words = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (words + BF16_ROUNDING + ((words >> np.uint64(16)) & np.uint64(1))) & np.uint64(BF16_MASK)
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


def to_int8(values: F64) -> F64:
    """Nearest multiple of the row's largest magnitude / 127."""
    scale = np.maximum(np.abs(values).max(-1, keepdims=True), 1e-30) / 127
    return np.asarray(np.rint(values / scale) * scale)


def candidates(units: F32, radius: float, quantise: Callable[[F64], F64], centred: bool) -> tuple[float, float]:
    """(mean margin, mean candidates per query) of a sample; the last of `units` [T, H, W, C] is the query frame."""
    height, width, channels = units.shape[1:]
    centre = units[0].reshape(-1, channels).mean(0, dtype=np.float64) * centred
    moved = units.astype(np.float64) - centre
    low = quantise(moved)
    error, norm = np.linalg.norm(moved - low, axis=-1), np.linalg.norm(moved, axis=-1)
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:height, :width]
    margins, counts = [], []
    for y, x in zip(rng.integers(0, height, SAMPLE), rng.integers(0, width, SAMPLE), strict=True):
        inside = np.hypot(rows - y, columns - x) < radius
        score = low[:-1, inside] @ low[-1, y, x] + moved[:-1, inside] @ centre
        margin = np.linalg.norm(low[-1, y, x]) * error[:-1, inside] + error[-1, y, x] * norm[:-1, inside]
        threshold = np.sort((score - margin).ravel())[-TOPK]
        margins.append(margin.mean())
        counts.append((score + margin > threshold).sum())
    return float(np.mean(margins)), float(np.mean(counts))


def timed(repeats: int, call: Callable[[], native.NativeMatches]) -> tuple[float, native.NativeMatches]:
    """Median CPU milliseconds of `call`, and its last result."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        found = call()
        spent.append(time.process_time() - start)
    return float(np.median(spent)) * 1e3, found


def report_kernel(units: F32, radius: float, repeats: int) -> None:
    """One line per precision: CPU time, candidates per query, lists settled early."""
    hw, flat = (units.shape[1], units.shape[2]), units.reshape(len(units), -1, units.shape[-1])
    query, keys = flat[-1], list(flat[:-1])
    centre = flat[0].mean(0)
    for screened in (False, True) if native.screens() else (False,):
        halves = (native.halve(query, centre), [native.halve(key, centre) for key in keys]) if screened else None

        def call(
            halves: tuple[native.HalfFeatures, list[native.HalfFeatures]] | None = halves,
        ) -> native.NativeMatches:
            return native.match(query, keys, hw, radius=radius, topk=TOPK, halves=halves)

        milliseconds, found = timed(repeats, call)
        _, hits, rescored, settled = found.stats
        print(
            f"  {native.isa()} {'bf16' if screened else 'fp32'}: {milliseconds:.1f} CPU-ms, "
            f"{rescored / len(query):.1f} scored again per query, {16 * hits / len(query):.0f} hits per 16 queries, "
            f"{settled} lists settled early"
        )


def report(name: str, raw: F32, radius: float, repeats: int) -> None:
    """Everything about one set of raw features [T, H, W, C]."""
    units = np.stack([native.normalise(frame.reshape(-1, raw.shape[-1])).reshape(frame.shape) for frame in raw])
    print(f"{name}, radius {radius}")
    for label, quantise, centred in (
        ("bf16, not centred", to_bf16, False),
        ("bf16", to_bf16, True),
        ("int8", to_int8, True),
    ):
        margin, count = candidates(units, radius, quantise, centred)
        print(f"  bound for {label}: margin {margin:.5f}, {count:.1f} candidates per query")
    report_kernel(units, radius, repeats)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure bf16 screening on features.")
    parser.add_argument(
        "features", nargs="?", help="float32 [T, H, W, C] .npy, last frame = query (default: synthetic)"
    )
    parser.add_argument("--radius", type=float, default=15.0, help="window radius for FEATURES, in feature pixels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.features:
        report(options.features, np.load(options.features), options.radius, options.repeats)
        return
    for geometry in GEOMETRIES:
        raw = smooth_features(geometry, KEY_FRAMES + 1)
        report(
            f"synthetic {geometry.height}x{geometry.width}x{geometry.channels}", raw, geometry.radius, options.repeats
        )


if __name__ == "__main__":
    main()
