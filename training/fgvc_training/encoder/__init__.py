"""Encoders: their definitions, the table of architectures, checkpoint import, and untrained weights."""

from fgvc_training.encoder.architectures import ARCHITECTURES, Architecture, architecture

__all__ = ["ARCHITECTURES", "Architecture", "architecture"]
