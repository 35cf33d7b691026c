"""From label maps back to coordinates and masks."""

from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.points import read_points
from fgvc_deploy.readout.points_dense import read_full_maps, read_points_dense

__all__ = ["PointReadout", "read_full_maps", "read_points", "read_points_dense"]
