"""Inverse-compositional alignment (Baker and Matthews 2004) of templates with a picture, all points at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fgvc_deploy.fine.picture import sample
from fgvc_deploy.fine.template import Layout, Templates, normalised, pixels_of
from fgvc_deploy.propagation.base import Float32Array

_STILL = np.float32(0.01)
_LONGEST = np.float32(3.0)


class Pose(NamedTuple):
    """Where P templates lie: pixel (u, v) of a template is at `xy` + `warp` (u, v).

    `xy` float32 [P, 2] (x, y) of the templates' centres; `warp` float32 [P, 2, 2].
    """

    xy: Float32Array
    warp: Float32Array


def align(templates: Templates, plane: Float32Array, start: Pose, iterations: int) -> tuple[Pose, Float32Array]:
    """Move `start` to where the plane [h, w] looks like the templates; also their correlation [P], -1 to 1.

    A point stops when a step is below 0.01 px; its correlation is that before its last step, which is close.  Steps
    are at most 3 px long.
    """
    xy, warp = start.xy.copy(), start.warp.copy()
    likeness = np.zeros(len(xy), np.float32)
    moving = np.arange(len(xy))
    for _ in range(iterations):
        seen = sample(plane, *places(templates.layout, Pose(xy[moving], warp[moving])))
        patches, _ = normalised(seen, pixels_of(templates.layout).root)
        part = templates.take(moving) if len(moving) < len(xy) else templates
        likeness[moving] = np.einsum("pn,pn->p", patches, part.unit)
        change = (part.inverse @ patches[..., None])[..., 0]
        turned = _without(warp[moving], change)
        warp[moving] = turned
        step = np.einsum("pij,pj->pi", turned, change[:, :2])
        length = np.sqrt(np.einsum("pi,pi->p", step, step))
        xy[moving] -= step * np.minimum(1, _LONGEST / np.maximum(length, _LONGEST))[:, None]
        moving = moving[length > _STILL]
        if not len(moving):
            break
    return Pose(xy, warp), likeness


def places(layout: Layout, pose: Pose) -> tuple[Float32Array, Float32Array]:
    """Positions x and y [P, N] of a layout's pixels."""
    xy = (pose.warp.reshape(-1, 2) @ pixels_of(layout).uv).reshape(len(pose.xy), 2, -1)
    xy += pose.xy[..., None]
    return xy[:, 0], xy[:, 1]


def _without(warp: Float32Array, change: Float32Array) -> Float32Array:
    """`warp` composed with the inverse of the change of shape (1 + a, b; c, 1 + d)."""
    if change.shape[1] == 2:
        return warp
    a, b, c, d = (1 + change[:, 2], change[:, 3], change[:, 4], 1 + change[:, 5])
    area = a * d - b * c
    inverse = np.stack([d, -b, -c, a], axis=1) / np.where(np.abs(area) < 0.1, 0.1, area)[:, None]
    turned: Float32Array = (warp @ inverse.reshape(-1, 2, 2)).astype(np.float32)
    return turned
