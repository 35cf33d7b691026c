"""`FinePoints`: positions of one group's points to a fraction of a pixel, and the rule by which they are believed.

The alignment itself is in `align.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.fine.align import Pose, align, places
from fgvc_deploy.fine.picture import Picture, to_full, to_half
from fgvc_deploy.fine.template import Layout, Templates, make_templates, pixels_of
from fgvc_deploy.propagation.base import BoolArray, Float32Array

FULL = Layout(radius=11.0, sigma=5.0, affine=True, stiffness=0.05, thinned=True)
HALF = Layout(radius=5.0, sigma=1e6, affine=False, stiffness=0.0, thinned=False)
STEPS_FULL, STEPS_HALF = 6, 4
LIKE = 0.8
"""Correlation with the query patch from which a place is believed."""
REACH = 12.0
"""How far from the labels' answer, in network pixels."""
INSIDE = 0.5
"""Share of the patch that must lie on the frame."""
AREA = (0.25, 4.0)
"""How much a patch may have shrunk or grown."""
TURN, SURE = 0.2, 0.95
"""A shape that is further than `TURN` (Frobenius) from the last one believed is believed from correlation `SURE`."""
_UPRIGHT = np.eye(2, dtype=np.float32)


@dataclass(slots=True, eq=False)
class FinePoints:
    """The fine stage of P points that start on one frame; positions are in network pixels.

    `xy` float32 [P, 2] is the answer on the newest frame, `refined` bool [P] where it is not the labels' own.
    Memory: the query patches, 6 kB a point.
    """

    xy: Float32Array
    refined: BoolArray
    _full: Templates
    _half: Templates
    _fraction: Float32Array  # of a query position beyond the pixel its templates are centred on
    _warp: Float32Array  # as last believed
    _offset: Float32Array  # from the labels' answer, as last believed
    _missed: NDArray[np.int64]  # frames in a row without an alignment to believe

    @classmethod
    def start(cls, picture: Picture, xy: Float32Array) -> FinePoints:
        """Points [P, 2] on their query frame."""
        # Templates sit on whole pixels: no interpolation blurs them.
        centres = np.rint(xy).astype(np.float32)
        return cls(
            xy.astype(np.float32),
            np.zeros(len(xy), np.bool_),
            make_templates(picture.full, centres, FULL),
            make_templates(picture.half, to_half(centres), HALF),
            (xy - centres).astype(np.float32),
            np.tile(_UPRIGHT, (len(xy), 1, 1)),
            np.zeros((len(xy), 2), np.float32),
            np.zeros(len(xy), np.int64),
        )

    def keep(self, rows: BoolArray) -> None:
        """Drop the points whose entry is False."""
        self._full, self._half = self._full.take(rows), self._half.take(rows)
        for name in ("xy", "refined", "_fraction", "_warp", "_offset", "_missed"):
            setattr(self, name, getattr(self, name)[rows])

    def follow(self, picture: Picture | None, coarse: Float32Array, lost: BoolArray) -> None:
        """Take the next frame's picture and what the labels say there, [P, 2]; `lost` ones stay where they were.

        Without a picture the labels' answer is the answer.
        """
        rows = np.flatnonzero(~lost)
        self.xy = np.where(lost[:, None], self.xy, coarse).astype(np.float32)
        self.refined = np.zeros(len(lost), np.bool_)
        if picture is None or not len(rows):
            return
        coarse = coarse[rows].astype(np.float32)
        pose, likeness = self._align(picture, coarse, rows)
        xy = pose.xy + _turned(pose.warp, self._fraction[rows])
        good = believed(pose, likeness, xy, xy - coarse, picture.full.shape)
        good &= steady(pose.warp, self._warp[rows], likeness)
        kept = rows[good]
        self.xy[kept], self._warp[kept], self._offset[kept] = xy[good], pose.warp[good], (xy - coarse)[good]
        self.refined[kept] = True
        self._missed = np.where(self.refined, 0, self._missed + ~lost)

    def _align(self, picture: Picture, coarse: Float32Array, rows: NDArray[np.intp]) -> tuple[Pose, Float32Array]:
        """Where the templates of `rows` [n] lie on this frame, and how alike it is there; labels say `coarse` [n, 2].

        A point starts from the offset and shape it had.  While it is not believed, every other frame it starts from
        the labels' answer and the query frame's shape, so that a spoilt place or shape is forgotten.
        """
        fresh = self._missed[rows] % 2 == 1
        warp = np.where(fresh[:, None, None], _UPRIGHT, self._warp[rows])
        offset = np.where(fresh[:, None], np.float32(0), self._offset[rows])
        centre = coarse + offset - _turned(warp, self._fraction[rows])
        half, _ = align(self._half.take(rows), picture.half, Pose(to_half(centre), warp), STEPS_HALF)
        return align(self._full.take(rows), picture.full, Pose(to_full(half.xy), warp), STEPS_FULL)


def believed(
    pose: Pose, likeness: Float32Array, xy: Float32Array, offset: Float32Array, hw: tuple[int, ...]
) -> BoolArray:
    """Which alignments to believe: alike, near the labels' answer, on the frame, and no wild change of shape."""
    area = np.linalg.det(pose.warp)
    on_frame = ((xy >= -0.5) & (xy <= np.array([hw[1], hw[0]], np.float32) - np.float32(0.5))).all(axis=1)
    good: BoolArray = (
        (likeness >= LIKE)
        & (np.einsum("pi,pi->p", offset, offset) <= REACH**2)
        & on_frame
        & (area >= AREA[0])
        & (area <= AREA[1])
        & (_share_inside(pose, hw) >= INSIDE)
    )
    return good


def steady(warp: Float32Array, before: Float32Array, likeness: Float32Array) -> BoolArray:
    """Which shapes may follow those `before`: covered points tend to find something alike in another shape."""
    change = np.linalg.norm(warp - before, axis=(1, 2))
    kept: BoolArray = (change <= TURN) | (likeness >= SURE)
    return kept


def _share_inside(pose: Pose, hw: tuple[int, ...]) -> Float32Array:
    """Weight of a patch's pixels that lie on the frame, [P]."""
    x, y = places(FULL, pose)
    inside = (x >= 0) & (x <= hw[1] - 1) & (y >= 0) & (y <= hw[0] - 1)
    root = pixels_of(FULL).root
    share: Float32Array = inside @ (root * root)
    return share


def _turned(warp: Float32Array, xy: Float32Array) -> Float32Array:
    turned: Float32Array = np.einsum("pij,pj->pi", warp, xy)
    return turned
