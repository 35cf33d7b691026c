"""The parity gate of each kind of target: every figure, in the order of what it costs, against its budget.

An engine cannot be run here: the ONNX file that it is built from passes the gate in its place.
"""

from __future__ import annotations

from typing import NamedTuple

from fgvc_deploy.bundle import ParityFigure
from fgvc_export.budgets import BUDGETS, enforce
from fgvc_export.clip import Clip
from fgvc_export.lowered import gpu_file
from fgvc_export.parity import Setup, TorchEncoder, feature_figures
from fgvc_export.propagation_parity import propagation_track_figures, step_figures
from fgvc_export.recall import recall_figure
from fgvc_export.targets import TARGETS, Choice, Source, Tell, run
from fgvc_export.track_parity import track_figures


class Trial(NamedTuple):
    """What is compared with what: the PyTorch encoder, its settings, and the clip."""

    reference: TorchEncoder
    setup: Setup
    clip: Clip


def encoder_gate(choice: Choice, content: bytes, trial: Trial, tell: Tell) -> list[ParityFigure]:
    """Features, for lower precisions the keys they choose, then tracks; raises `ParityError` at the first miss."""
    reference, setup, clip = trial
    ours = run(choice, content, setup.encoder)
    tell(f"comparing the features of {choice}", 0.3)
    figures = feature_figures(ours, reference, setup, clip, choice.precision)
    if choice.precision in BUDGETS["match_recall"].value:
        figures.append(recall_figure(ours, reference, setup, clip, choice.precision))
    enforce(f"The {choice} export", figures)
    tell(f"comparing the tracks of {choice} on the {clip.describe()}", 0.5)
    figures += track_figures(ours, reference, setup, clip, choice.precision)
    enforce(f"The {choice} export", figures)
    return figures


def propagation_gate(choice: Choice, content: bytes, trial: Trial, tell: Tell) -> list[ParityFigure]:
    """Single steps, then tracks; raises `ParityError` at the first miss."""
    reference, setup, clip = trial
    tell(f"comparing the steps of {choice}", 0.1)
    figures = step_figures(content, reference, setup, clip)
    enforce(f"The {choice} export", figures, "the float64 reference")
    tell(f"comparing the tracks of {choice} on the {clip.describe()}", 0.5)
    figures += propagation_track_figures(content, reference, setup, clip)
    enforce(f"The {choice} export", figures, "the NumPy propagation")
    return figures


def engine_gate(choice: Choice, source: Source, trial: Trial, tell: Tell) -> None:
    """Pass the ONNX file behind an engine through its gate, once for all chips and for the file's own target."""
    onnx = Choice(TARGETS["qdq" if choice.precision == "int8" else "onnx"], choice.precision)
    if not was_gated(onnx, source):
        encoder_gate(onnx, gpu_file(source), trial, tell)
        remember_gated(onnx, source)


def was_gated(choice: Choice, source: Source) -> bool:
    """Whether this file has passed in this export."""
    return _name(choice) in source.shared


def remember_gated(choice: Choice, source: Source) -> None:
    """To be called when it has."""
    source.shared[_name(choice)] = True


def _name(choice: Choice) -> str:
    return f"gated {choice.row.name} {choice.precision}"
