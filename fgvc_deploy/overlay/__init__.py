"""Tracks and masks drawn on the frames they belong to.  Encoding the frames: `fgvc_deploy.video.writer`."""

from fgvc_deploy.overlay.masks import MaskOverlay
from fgvc_deploy.overlay.points import PointOverlay

__all__ = ["MaskOverlay", "PointOverlay"]
