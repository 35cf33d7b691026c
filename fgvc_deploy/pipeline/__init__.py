"""Offline runs: read a source from start to end and drive a streaming tracker over it.

The offline call is a loop over a tracker's steps, so both give the same numbers; where there are threads for it, the
next frame is encoded meanwhile (`overlap.py`).  Writing results lives in `results`.
"""

from fgvc_deploy.pipeline.masks import MaskFrame, mask_frames
from fgvc_deploy.pipeline.passes import OnFrame
from fgvc_deploy.pipeline.points import PointFrame, point_frames, point_steps

__all__ = ["MaskFrame", "OnFrame", "PointFrame", "mask_frames", "point_frames", "point_steps"]
