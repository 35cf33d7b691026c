"""From a row of the training package's table of architectures to the settings that a bundle stores."""

from __future__ import annotations

import dataclasses

from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_training.encoder.architectures import Architecture


def encoder_settings(row: Architecture) -> EncoderSettings:
    """Geometry of the features."""
    return EncoderSettings(arch=row.name, stride=row.stride, channels=row.channels)


def preprocess_settings(row: Architecture) -> PreprocessSettings:
    """Colour space and normalisation of the input."""
    return PreprocessSettings(**dataclasses.asdict(row.preprocess))


def propagation_settings(row: Architecture) -> PropagationSettings:
    """How labels are carried by default."""
    return PropagationSettings(**dataclasses.asdict(row.propagation))
