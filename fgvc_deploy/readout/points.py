"""Fast point read-out: the same coordinates as `points_dense.py` without upsampling whole maps."""

from fgvc_deploy.readout.points_dense import read_points_dense as read_points

__all__ = ["read_points"]
