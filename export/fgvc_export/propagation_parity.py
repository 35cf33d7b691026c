"""The parity gate of a propagation graph: single steps beside the float64 reference, and tracks beside NumPy's.

How much they may differ is `budgets.py`.  Matches are compared by value, never by index, because ties are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.bundle.manifest import ParityFigure
from fgvc_deploy.encoders.base import EncoderBackend, Float32Array
from fgvc_deploy.errors import ParityError
from fgvc_deploy.onnx_session import open_session
from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_deploy.propagation.features import unit_features
from fgvc_deploy.propagation.onnx_graph import OnnxGraphBackend
from fgvc_deploy.settings import PropagationSettings
from fgvc_export.budgets import judge
from fgvc_export.clip import Clip
from fgvc_export.parity import RoundingNoise, Setup, grid_points, track_points
from fgvc_export.track_parity import judge_tracks
from fgvc_kernels.reference import MatchError, check_matches

# Network sizes: maps smaller than a window, with sides that are no multiple of a tile, wide and high.
SIZES = ((33, 47), (75, 101), (130, 97))
CHANNELS = 3
# Every row of the small maps; a part of the others bounds the time of the float64 reference.
CHECKED_ROWS = 1500
PRECISION = "fp32"
WHERE = "the exported propagation graph"


class Step(NamedTuple):
    """One step and what the graph made of it: features [H, W, C] and [T, H, W, C], labels [T, H, W, P]."""

    query: Float32Array
    keys: Float32Array
    labels: Float32Array
    new_labels: Float32Array
    scores: Float32Array
    positions: NDArray[np.int32]


def step_figures(content: bytes, reference: EncoderBackend, setup: Setup, clip: Clip) -> list[ParityFigure]:
    """Worst score and worst label over `SIZES`, with 1, 2 and all key frames, on features of the clip.

    The file runs with nothing but its three inputs, so its defaults are checked too.  Raises `ParityError` when its
    matches are no top-k at all.
    """
    counts = sorted({1, 2, setup.propagation.memory + 1})
    scores, labels = [], []
    for step in _steps(content, reference, setup, clip, counts):
        scores.append(score_error(step, setup.propagation))
        labels.append(label_error(step, setup.propagation.temperature))
    sizes = ", ".join(f"{width}x{height}" for height, width in SIZES)
    detail = f"{clip.name} at {sizes}, {', '.join(map(str, counts))} key frames"
    return [
        judge("match_score_max", PRECISION, float(np.max(scores)), detail),
        judge("carried_label_max", PRECISION, float(np.max(labels)), detail),
    ]


def propagation_track_figures(
    content: bytes, reference: EncoderBackend, setup: Setup, clip: Clip
) -> list[ParityFigure]:
    """Distance between the tracks of an 8x8 grid of points by the graph and by NumPy, in source pixels."""
    xy = grid_points(*clip.frames[0].shape[:2])
    theirs = track_points(reference, setup, clip, xy)
    mine = track_points(reference, setup, clip, xy, OnnxGraphBackend(content, where=WHERE))
    return judge_tracks(
        mine, theirs, lambda seed: track_points(RoundingNoise(reference, seed), setup, clip, xy), clip, PRECISION
    )


def score_error(step: Step, settings: PropagationSettings) -> float:
    """Largest difference of a score from the float64 reference."""
    height, width, topk = step.scores.shape
    size = height * width
    try:
        return check_matches(
            step.scores.reshape(size, topk),
            step.positions.reshape(size, topk),
            step.query.reshape(size, -1),
            list(step.keys.reshape(len(step.keys), size, -1)),
            (height, width),
            settings.window,
            settings.radius,
            settings.topk,
            tolerance=1e-3,
            rows=range(0, size, max(1, size // CHECKED_ROWS)),
        )
    except MatchError as error:
        raise ParityError(f"The propagation export is wrong: {error}; no bundle was written.") from None


def label_error(step: Step, temperature: float) -> float:
    """Largest difference of a label from the float64 sum over the step's own matches."""
    scores = step.scores.astype(np.float64)
    weights = np.exp((scores - scores.max(axis=2, keepdims=True)) / temperature)
    weights /= weights.sum(axis=2, keepdims=True)
    chosen = step.labels.reshape(-1, step.labels.shape[3])[step.positions]
    expected = np.einsum("ijk,ijkp->ijp", weights, chosen)
    return float(np.abs(step.new_labels - expected).max())


def _steps(content: bytes, reference: EncoderBackend, setup: Setup, clip: Clip, counts: list[int]) -> Iterator[Step]:
    session = open_session(content, WHERE, None)
    preprocessor = Preprocessor(setup.preprocess)
    rng = np.random.default_rng(0)
    for size in SIZES:
        images = [preprocessor(clip.frames[i % len(clip.frames)], size) for i in range(counts[-1] + 1)]
        maps = [unit_features(reference.encode(image)) for image in images]
        unit = np.stack([frame.unit.reshape(*frame.hw, -1) for frame in maps])
        for count in counts:
            keys, query = unit[:count], unit[count]
            labels = rng.random((*keys.shape[:3], CHANNELS), dtype=np.float32)
            feed: dict[str, Any] = {"query": query, "keys": keys, "labels": labels}
            yield Step(query, keys, labels, *session.run(["new_labels", "scores", "positions"], feed))
