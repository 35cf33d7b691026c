"""Tiny files in the layout of FlyingThings3D."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HW = (6, 8)


def save_image(path: Path, value: int, hw: tuple[int, int] = HW) -> None:
    """A grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only WebP heeds `lossless`; the other formats ignore it.
    Image.fromarray(np.full((*hw, 3), value, np.uint8)).save(path, lossless=True)


def save_pfm(path: Path, values: NDArray[np.float32], order: str = "<") -> None:
    """A PFM file of either byte order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = b"PF" if values.ndim == 3 else b"Pf"
    header = kind + b"\n%d %d\n%s\n" % (values.shape[1], values.shape[0], b"-1.0" if order == "<" else b"1.0")
    path.write_bytes(header + values[::-1].astype(order + "f4").tobytes())


def write_flyingthings(root: Path, scene: str, numbers: list[int], hw: tuple[int, int] = HW) -> None:
    """Frame n has grey value n; its flow into the future is (n, 1), into the past (-n, 2)."""
    for number in numbers:
        save_image(root / "frames_cleanpass_webp" / "TRAIN" / scene / "left" / f"{number:04d}.webp", number, hw)
        for direction, name, flow in (
            ("into_future", "OpticalFlowIntoFuture", (number, 1, 0)),
            ("into_past", "OpticalFlowIntoPast", (-number, 2, 0)),
        ):
            path = root / "optical_flow" / "TRAIN" / scene / direction / "left" / f"{name}_{number:04d}_L.pfm"
            save_pfm(path, np.broadcast_to(np.array(flow, np.float32), (*hw, 3)))
