"""Data sets small enough for a test, written in the official layouts: a textured square moving over noise."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HW = (72, 96)
SHIFT = np.array((3.0, 1.0))
"""Pixels (x, y) that the square moves in each frame."""
SQUARE = (20, 16, 28)
"""x, y and side of the square in the first frame."""


def frames(count: int, hw: tuple[int, int] = HW, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 RGB [T, H, W, 3]: smooth noise behind, other noise on the square."""
    rng = np.random.default_rng(seed)
    behind, front = (np.kron(rng.integers(0, 256, (*side, 3)), np.ones((4, 4, 1))) for side in ((40, 40), (12, 12)))
    clip = np.repeat(behind[None, : hw[0], : hw[1]], count, axis=0)
    for t in range(count):
        rows, columns = square(t)
        clip[t, rows, columns] = front[: rows.stop - rows.start, : columns.stop - columns.start]
    return clip.astype(np.uint8)


def square(t: int) -> tuple[slice, slice]:
    """Rows and columns of the square in frame t."""
    x, y = (np.array(SQUARE[:2]) + t * SHIFT).astype(int)
    return slice(y, y + SQUARE[2]), slice(x, x + SQUARE[2])


def masks(count: int, value: int = 255, hw: tuple[int, int] = HW) -> NDArray[np.uint8]:
    """The square in every frame, uint8 [T, H, W]."""
    found = np.zeros((count, *hw), np.uint8)
    for t in range(count):
        found[t][square(t)] = value
    return found


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)  # PNG has no quality and ignores it


def write_davis(root: Path, name: str, count: int, resolution: str = "480p", value: int = 255) -> None:
    """A sequence of the DAVIS layout."""
    for t, (frame, mask) in enumerate(zip(frames(count), masks(count, value), strict=True)):
        save(root / "JPEGImages" / resolution / name / f"{t:05d}.jpg", frame)
        save(root / "Annotations" / resolution / name / f"{t:05d}.png", mask)


def joints(t: int) -> NDArray[np.float64]:
    """Five points (x, y) of the square in frame t."""
    corner, side = np.array(SQUARE[:2]) + t * SHIFT, SQUARE[2]
    points: NDArray[np.float64] = corner + side * np.array(
        [(0.2, 0.2), (0.8, 0.2), (0.5, 0.5), (0.2, 0.8), (0.8, 0.8)]
    )
    return points


def write_badja(root: Path, name: str, count: int, every: int = 2, hidden: tuple[int, ...] = ()) -> None:
    """A sequence with joints on the square, annotated in every `every`th frame; `hidden` are not seen at first."""
    write_davis(root / "davis16", name, count)
    entries = []
    for t in range(0, count, every):
        rows_columns = joints(t)[:, ::-1] * np.array((1080, 1920)) / np.array(HW)
        entries.append(
            {
                "image_path": f"DAVIS/JPEGImages/Full-Resolution/{name}/{t:05d}.jpg",
                "joints": rows_columns.tolist(),
                "visibility": [t > 0 or joint not in hidden for joint in range(5)],
            }
        )
    folder = root / "badja" / "joint_annotations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(entries))


def write_planar(root: Path, name: str, count: int) -> None:
    """A sequence whose homographies shift the plane as the square moves; the last frame has no valid one."""
    entries = []
    for t, frame in enumerate(frames(count)):
        save(root / name / f"{t:04d}.jpg", frame)
        matrix = np.eye(3)
        matrix[:2, 2] = t * SHIFT
        entries.append({"frame": f"{t:04d}.jpg", "H": matrix.tolist(), "valid": t < count - 1})
    x, y, side = SQUARE
    quad = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    (root / f"{name}_derived_H.json").write_text(json.dumps({"quad": quad, "frames": entries}))


def write_jhmdb(root: Path, action: str, video: str, count: int) -> None:
    """A test video: 15 joints, the five of `joints` three times, in MATLAB's pixels from 1."""
    for t, frame in enumerate(frames(count)):
        save(root / "Rename_Images" / action / video / f"{t + 1:05d}.png", frame)
    positions = np.stack([np.tile(joints(t), (3, 1)).T for t in range(count)], axis=-1) + 1
    folder = root / "joint_positions" / action / video
    folder.mkdir(parents=True, exist_ok=True)
    importlib.import_module("scipy.io").savemat(folder / "joint_positions.mat", {"pos_img": positions})
    (root / "splits").mkdir(exist_ok=True)
    (root / "splits" / f"{action}_test_split1.txt").write_text(f"{video}.avi 2\nother.avi 1\n")


def tapvid_example(count: int) -> dict[str, NDArray[np.generic]]:
    """A TAP-Vid example: the five points, the first hidden until frame 2, the last never visible."""
    points = np.stack([joints(t) for t in range(count)], axis=1)
    occluded = np.zeros(points.shape[:2], bool)
    occluded[0, :2] = occluded[4] = True
    return {"video": frames(count), "points": (points + 0.5) / np.array(HW[::-1]), "occluded": occluded}


def write_flow(root: Path, scene: str) -> None:
    """A Middlebury pair; the upper left corner has no truth."""
    flow = np.zeros((*HW, 2), "<f4")
    flow[square(0)] = SHIFT
    flow[:8, :8] = 1e10
    for name, frame in zip(("frame10.png", "frame11.png"), frames(2), strict=True):
        save(root / scene / name, frame)
    header = b"PIEH" + np.array(HW[::-1], "<i4").tobytes()
    (root / scene / "flow10.flo").write_bytes(header + flow.tobytes())
