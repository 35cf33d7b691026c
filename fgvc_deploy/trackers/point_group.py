"""Points that start on the same frame: where they are, and how sure that is.  Labels are in `label_group.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.fine.patches import FinePoints
from fgvc_deploy.propagation.base import BoolArray, Float32Array
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.settings import VisibilitySettings
from fgvc_deploy.trackers.label_group import LabelGroup
from fgvc_deploy.trackers.visibility import Appearance, Evidence, confidence


@dataclass(slots=True, eq=False)
class PointGroup:
    """`ids` int64 [P]; `xy` [P, 2] is the last known position in network pixels, `confidence` [P].

    `appearance` is that of the query frame, `evidence` that of the newest one; None where visibility is not judged.
    `fine` is None where the fine stage is off: what labels say is then the answer.
    """

    labels: LabelGroup
    ids: NDArray[np.int64]
    xy: Float32Array
    confidence: Float32Array
    appearance: Appearance | None = None
    evidence: Evidence | None = None
    fine: FinePoints | None = None

    @property
    def answer(self) -> tuple[Float32Array, BoolArray]:
        """Positions [P, 2] in network pixels to report, and which of them the fine stage refined."""
        return (self.fine.xy, self.fine.refined) if self.fine else (self.xy, np.zeros(len(self.xy), np.bool_))

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop the points whose entry is False."""
        self.labels.keep(rows)
        self.ids, self.xy, self.confidence = self.ids[rows], self.xy[rows], self.confidence[rows]
        self.appearance = self.appearance and self.appearance.keep(rows)
        self.evidence = self.evidence and Evidence(*(part[rows] for part in self.evidence))
        if self.fine:
            self.fine.keep(rows)

    def note(self, readout: PointReadout) -> None:
        """Take over what was read; a vanished point stays where it was last seen, with confidence 0."""
        xy, peak = readout
        # Only `corrected` says NaN; the reference's own answer, (-1, -1), passes through.
        gone = np.isnan(xy[:, 0])
        self.xy = np.where(gone[:, None], self.xy, xy).astype(np.float32)
        self.confidence = np.where(gone, 0.0, np.clip(peak, 0.0, 1.0)).astype(np.float32)

    def look(self, appearance: Appearance) -> None:
        """Take over how the points look on their query frame, the newest one."""
        self.appearance, self.evidence = appearance, Evidence.certain(len(self.ids))

    def judge(self, now: Appearance, settings: VisibilitySettings) -> None:
        """Confidence from the evidence of the newest frame, whose peaks `note` has left as the confidence."""
        if self.appearance is None:
            return
        self.evidence = self.appearance.compare(self.confidence, now)
        gone = self.confidence == 0
        self.confidence = np.where(gone, np.float32(0), confidence(self.evidence, settings))


def evidence_by_id(groups: Sequence[PointGroup]) -> Evidence | None:
    """The newest frame's evidence of all points in the order of their ids; None unless every group has some."""
    parts = [group.evidence for group in groups if group.evidence is not None]
    if not parts or len(parts) < len(groups):
        return None
    order = np.argsort(np.concatenate([group.ids for group in groups]))
    return Evidence(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))
