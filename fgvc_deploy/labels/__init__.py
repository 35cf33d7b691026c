"""Label maps of a query frame: what the trackers carry along, one channel per point, keypoint or object."""

from fgvc_deploy.labels.gaussian import gaussian_labels, gaussian_maps

__all__ = ["gaussian_labels", "gaussian_maps"]
