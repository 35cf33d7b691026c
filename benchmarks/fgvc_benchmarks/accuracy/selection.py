"""The figures that edge encoders and their settings are chosen by, on data that no published score comes from.

    python -m fgvc_benchmarks.accuracy.selection --data ../shared/data --model BUNDLE [--size S] [--set NAME=VALUE]

Six sequences of `davis16_train256` that no encoder here is trained on give J of a mask carried through them, and
cycle consistency; the planar clip gives precision.  docs/edge-encoder.md has the table; scores are `eval`'s.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fgvc_deploy
from fgvc_benchmarks.datasets.planar import read_planar
from fgvc_benchmarks.provenance import ROOT
from fgvc_deploy.cli.eval import parse_settings
from fgvc_deploy.model import Model
from fgvc_deploy.settings import PropagationSettings

HELD_OUT = ("breakdance-flare", "flamingo", "lucia", "mallard-fly", "motorbike", "rhino")
FRAMES, MASK_STEP = 45, 2
CYCLE_STARTS, CYCLE_SPAN, CYCLE_POINTS = (0, 15), 20, 48
RETURNS = (0.2, 0.1)
"""A point has returned within this share of the root of its object's area."""
PLANAR_PX = (1, 2, 4, 8, 16)


class Sequence(NamedTuple):
    """uint8 RGB [T, H, W, 3] and bool [T, H, W]."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]


class Judge:
    """A model with settings; every figure is in percent."""

    def __init__(self, model: Model, size: str | None, propagation: PropagationSettings) -> None:
        self._model = model
        self._size = size
        self._propagation = propagation

    def mask_overlap(self, sequence: Sequence) -> float:
        """Mean J of the first mask carried through every second frame; the first and last frame do not count."""
        frames, truth = sequence.frames[::MASK_STEP], sequence.masks[::MASK_STEP]
        carried = self._model.track_masks(
            frames, truth[0].astype(np.uint8), size=self._size, propagation=self._propagation
        )
        overlap = [iou(mask > 0, true) for mask, true in zip(carried, truth, strict=True)]
        return 100 * float(np.mean(overlap[1:-1]))

    def cycle(self, sequence: Sequence, start: int) -> NDArray[np.float64]:
        """Shares of points on the object that return within `RETURNS` from CYCLE_SPAN frames there and back."""
        frames = sequence.frames[start : start + CYCLE_SPAN + 1]
        mask = sequence.masks[start]
        y, x = np.nonzero(mask)
        chosen = np.random.default_rng(0).choice(len(y), CYCLE_POINTS, replace=False)
        points = np.stack((x[chosen], y[chosen]), axis=1).astype(np.float32)
        back = self._ends(frames[::-1], self._ends(frames, points)[:, -1])[:, -1]
        distance = np.linalg.norm(back - points, axis=1) / np.sqrt(mask.sum())
        return 100 * np.array([(distance < limit).mean() for limit in RETURNS])

    def planar(self, root: Path) -> NDArray[np.float64]:
        """Shares of positions within `PLANAR_PX` at 256 x 256."""
        clip = read_planar(root)[0]
        frames = np.stack([clip.frames[time] for time in range(len(clip.frames))])
        points = clip.grid()
        error = self._ends(frames, points.astype(np.float32)) - clip.tracks(points)
        scaled = np.linalg.norm(error * (256 / np.array(frames.shape[2:0:-1])), axis=-1)[:, 1:][:, clip.valid[1:]]
        return 100 * np.array([(scaled < limit).mean() for limit in PLANAR_PX])

    def _ends(self, frames: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tracks [N, T, 2] of points (x, y) on the first frame."""
        queries = np.concatenate([np.zeros((len(points), 1)), points[:, ::-1]], axis=1)
        height, width = frames.shape[1:3]
        # A way back may begin a hair outside the frame.
        queries[:, 1:] = queries[:, 1:].clip(0, (height - 1, width - 1))
        return self._model.track(frames, queries, size=self._size, propagation=self._propagation).tracks


def iou(ours: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = (ours | truth).sum()
    return float((ours & truth).sum() / union) if union else 1.0


def read_sequence(root: Path, name: str) -> Sequence:
    """The first FRAMES frames of a sequence of `davis16_train256`."""

    def images(part: str, mode: str) -> NDArray[np.uint8]:
        paths = sorted((root / part / name).iterdir())[:FRAMES]
        return np.stack([np.asarray(Image.open(path).convert(mode)) for path in paths])

    return Sequence(images("JPEGImages", "RGB"), images("Annotations", "L") > 127)


def main() -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=None, help="bundle; default: the one shipped")
    parser.add_argument("--size", default=None, help="what the encoder sees; default: the bundle's")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE instead of the bundle's")
    arguments = parser.parse_args()
    model = fgvc_deploy.load(arguments.model, threads=1)
    base = model.bundle.manifest.propagation
    judge = Judge(model, arguments.size, type(base)(**base.model_dump() | parse_settings(arguments.set)))
    sequences = {name: read_sequence(arguments.data / "davis16_train256", name) for name in HELD_OUT}
    overlap = {name: judge.mask_overlap(sequence) for name, sequence in sequences.items()}
    cycles = [judge.cycle(sequence, start) for sequence in sequences.values() for start in CYCLE_STARTS]
    planar = judge.planar(arguments.data / "planar_video")
    print(f"J {np.mean(list(overlap.values())):.1f} ({', '.join(f'{n} {v:.0f}' for n, v in overlap.items())})")
    print("cycle " + ", ".join(f"{limit:g}: {v:.1f}" for limit, v in zip(RETURNS, np.mean(cycles, 0), strict=True)))
    print(
        f"planar {planar.mean():.1f} ({', '.join(f'{p} px {v:.0f}' for p, v in zip(PLANAR_PX, planar, strict=True))})"
    )


if __name__ == "__main__":
    main()
