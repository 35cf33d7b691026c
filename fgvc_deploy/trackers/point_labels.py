"""What a query point looks like as a label map, and what the read-out says on its query frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.labels.gaussian import gaussian_labels, gaussian_maps
from fgvc_deploy.labels.keypoints import keypoint_labels
from fgvc_deploy.readout.points_dense import read_full_maps
from fgvc_deploy.settings import Compat, PropagationSettings

Float32Array = NDArray[np.float32]
LabelKind = Literal["point", "keypoint"]


def label_points(
    xy: Float32Array,
    network_hw: tuple[int, int],
    stride: int,
    settings: PropagationSettings,
    kind: LabelKind,
    compat: Compat,
) -> Float32Array:
    """Label maps float32 [h*w, P] of points [P, 2] in network pixels (goldens items 22 and 31)."""
    if kind == "point":
        return gaussian_labels(xy, network_hw, settings.label_sigma, stride)
    if compat == "reference":
        feature_hw = (-(-network_hw[0] // stride), -(-network_hw[1] // stride))
        return keypoint_labels(xy, network_hw, feature_hw, settings.keypoint_sigma)
    return gaussian_labels(xy, network_hw, settings.keypoint_sigma, stride)


def read_query_points(
    xy: Float32Array,
    network_hw: tuple[int, int],
    settings: PropagationSettings,
    kind: LabelKind,
    compat: Compat,
) -> tuple[Float32Array, Float32Array]:
    """Position [P, 2] in network pixels and confidence [P] on the query frame itself.

    The query is the truth on its own frame, so `corrected` returns it unchanged; the reference reads the
    full-resolution Gaussian back, which rounds it to a lattice (goldens items 23-25).
    """
    if compat == "corrected" or kind == "keypoint":
        return xy, np.ones(len(xy), np.float32)
    read = read_full_maps(gaussian_maps(xy, network_hw, settings.label_sigma), compat)
    return read.xy.astype(np.float32), read.peak
