"""Query patches, and all of an alignment that can be computed on the query frame already.  See docs/fine-stage.md."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.fine.picture import sample
from fgvc_deploy.propagation.base import Float32Array

FAINT = np.float32(0.5)
"""Standard deviation in grey levels below which a patch is rounding rather than texture."""
_RIDGE = np.float32(1e-4)


class Layout(NamedTuple):
    """A disc of pixels with Gaussian weights, and what may change about it: its place, or with `affine` its shape.

    `radius` and `sigma` in pixels of the plane.  `stiffness` damps steps of the shape: what is added to the normal
    equations, in units of squared contrast, for a change that moves the patch's rim by about a pixel.  `thinned`:
    only the black squares of a chessboard; on a smoothed plane the white ones add little but time.
    """

    radius: float
    sigma: float
    affine: bool
    stiffness: float
    thinned: bool


class Pixels(NamedTuple):
    """Offsets `uv` [2, N] of a layout's pixels from the centre, and the roots of their weights [N]."""

    uv: Float32Array
    root: Float32Array


@lru_cache(maxsize=8)
def pixels_of(layout: Layout) -> Pixels:
    """The pixels of a layout; weights sum to one."""
    reach = int(layout.radius)
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).astype(np.float32)
    squared = u * u + v * v
    within = squared <= layout.radius**2
    if layout.thinned:
        within &= (u + v) % 2 == 0
    weight = np.exp(-squared / np.float32(2 * layout.sigma**2))[within]
    return Pixels(np.stack([u, v])[:, within], np.sqrt(weight / weight.sum()))


@dataclass(frozen=True, slots=True)
class Templates:
    """Patches of P points with N pixels, and the d = 2 or 6 parameters of their alignment.

    `unit` [P, N]: weighted pixels, mean taken off, of length one (less where fainter than `FAINT`).  `inverse`
    [P, d, N]: by what the parameters have to change if the image differs from `unit`; the Gauss-Newton step of an
    inverse-compositional alignment, which is the same in every iteration.
    """

    layout: Layout
    unit: Float32Array
    inverse: Float32Array

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Templates:
        """Some of them."""
        return Templates(self.layout, self.unit[rows], self.inverse[rows])


def make_templates(plane: Float32Array, centres: Float32Array, layout: Layout) -> Templates:
    """Templates of the patches around `centres` [P, 2] (x, y) of a plane [h, w]."""
    (u, v), root = pixels_of(layout)
    x, y, one = centres[:, :1] + u, centres[:, 1:] + v, np.float32(1)
    unit, contrast = normalised(sample(plane, x, y), root)
    across = (sample(plane, x + one, y) - sample(plane, x - one, y)) * np.float32(0.5)
    down = (sample(plane, x, y + one) - sample(plane, x, y - one)) * np.float32(0.5)
    shapes = (across * u, across * v, down * u, down * v) if layout.affine else ()
    slopes = np.stack([across, down, *shapes], axis=1) / np.maximum(contrast, FAINT)[..., None]
    slopes = (slopes - (slopes @ (root * root))[..., None]) * root
    # What gain explains is left to gain.
    slopes -= (slopes @ unit[..., None]) * unit[:, None]
    return Templates(layout, unit, np.linalg.solve(slopes @ slopes.transpose(0, 2, 1) + _damping(layout), slopes))


def normalised(patches: Float32Array, root: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Patches [P, N] times `root` [N], without their weighted mean, of length one; and the length they had [P, 1].

    Gain and offset of the light fall out here.  The length is the weighted standard deviation; patches fainter than
    `FAINT` stay shorter than one.
    """
    centred = (patches - (patches @ (root * root))[:, None]) * root
    length = np.sqrt(np.einsum("pn,pn->p", centred, centred))[:, None]
    return centred / np.maximum(length, FAINT), length


def _damping(layout: Layout) -> Float32Array:
    stiff = layout.stiffness * layout.radius**2 / 2
    diagonal = np.diag([0.0, 0.0, stiff, stiff, stiff, stiff] if layout.affine else [0.0, 0.0])
    return (diagonal + _RIDGE * np.eye(len(diagonal))).astype(np.float32)
