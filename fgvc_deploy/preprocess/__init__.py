"""From a uint8 RGB frame of any size to the encoder's input, and back from network pixels to source pixels."""

from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_deploy.preprocess.size import DEFAULT_SIZE, PixelMap, SizeSpec, parse_size, resolve_size

__all__ = ["DEFAULT_SIZE", "PixelMap", "Preprocessor", "SizeSpec", "parse_size", "resolve_size"]
