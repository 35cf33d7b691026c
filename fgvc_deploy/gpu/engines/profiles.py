"""The range of network sizes that an engine is built for."""

from __future__ import annotations

from fgvc_deploy.bundle.engine_key import Profile
from fgvc_deploy.encoders.base import MIN_SIDE

# Activations are allocated for the largest size; 1280 takes 720p either way up, for ResNet-18 in about 1 GB of fp16.
LARGEST_SIDE = 1280
# What `native` is tuned for, and the shape that a short side is tuned with.
USUAL_NATIVE = (480, 854)


def profile_for(default_size: str) -> Profile:
    """The profile of a bundle whose default size is `native`, `short:256` or `256x256` (height x width)."""
    usual = _usual(default_size)
    largest = max(LARGEST_SIDE, *usual)
    return Profile(smallest=(MIN_SIDE, MIN_SIDE), usual=usual, largest=(largest, largest))


def _usual(size: str) -> tuple[int, int]:
    if size == "native":
        return USUAL_NATIVE
    if size.startswith("short:"):
        short = int(size.removeprefix("short:"))
        return short, round(short * 16 / 9)
    height, _, width = size.partition("x")
    return int(height), int(width)
