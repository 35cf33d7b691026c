"""FlyingThings3D, as FGVC trains on it: WebP frames with PFM flow.

Layout: ROOT/frames_cleanpass_webp/TRAIN/<A|B|C>/<scene>/<left|right>/<number>.webp and
ROOT/optical_flow/TRAIN/<A|B|C>/<scene>/<into_future|into_past>/<left|right>/OpticalFlowInto<Future|Past>_<number>_<L|R>.pfm
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fgvc_training.data.files import images_in, read_pfm, read_rgb
from fgvc_training.data.sources import FlowPair
from fgvc_training.errors import DataError

Direction = Literal["into_future", "into_past"]


@dataclass(frozen=True)
class _PairFiles:
    reference: Path
    target: Path
    flow: Path
    flow_back: Path


class FlyingThings:
    """Neighbouring frames of all scenes, each pair once in each direction of time."""

    def __init__(
        self, root: Path, *, split: str = "TRAIN", frames: str = "frames_cleanpass_webp", camera: str = "left"
    ) -> None:
        """Find all pairs whose two flows are there.  Raises DataError if there is none."""
        scenes = sorted((root / frames / split).glob(f"*/*/{camera}"))
        flows = root / "optical_flow" / split
        self._pairs = [
            pair
            for folder in scenes
            for pair in _scene_pairs(folder, flows / folder.parents[1].name / folder.parent.name)
        ]
        if not self._pairs:
            raise DataError(
                f"no pair of frames under {root / frames / split} has flow in both directions under {flows}: "
                "check the root folder"
            )

    def __len__(self) -> int:
        return len(self._pairs)

    def pair(self, index: int, rng: np.random.Generator | None = None) -> FlowPair:
        """Pair number `index`; visibility has to be estimated from the flows."""
        files = self._pairs[index]
        flow, flow_back = (_read_flow(path) for path in (files.flow, files.flow_back))
        return FlowPair(read_rgb(files.reference), read_rgb(files.target), flow, flow_back)


def _read_flow(path: Path) -> NDArray[np.float32]:
    values = read_pfm(path)
    if values.ndim != 3:
        raise DataError(f"{path} has one channel, flow has three (the third is unused): get it again from its source")
    return values[..., :2]


def _scene_pairs(frames: Path, flows: Path) -> list[_PairFiles]:
    """Pairs of one scene: later to earlier frame, then earlier to later."""
    images = {path.stem: path for path in images_in(frames)}
    camera = frames.name
    pairs = []
    for (early_number, early), (late_number, late) in zip(images.items(), list(images.items())[1:], strict=False):
        future = _flow_path(flows, "into_future", camera, early_number)
        past = _flow_path(flows, "into_past", camera, late_number)
        if future.is_file() and past.is_file():
            # Flow goes from the target to the reference: from the later frame it is the flow into the past.
            pairs.append(_PairFiles(reference=early, target=late, flow=past, flow_back=future))
            pairs.append(_PairFiles(reference=late, target=early, flow=future, flow_back=past))
    return pairs


def _flow_path(flows: Path, direction: Direction, camera: str, number: str) -> Path:
    name = {"into_future": "OpticalFlowIntoFuture", "into_past": "OpticalFlowIntoPast"}[direction]
    return flows / direction / camera / f"{name}_{number}_{camera[0].upper()}.pfm"
