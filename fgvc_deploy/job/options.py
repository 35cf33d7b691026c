"""`Job`: what a run is asked to do, and the checks that need no video."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fgvc_deploy.errors import InputError
from fgvc_deploy.results.queries import QueryOrder
from fgvc_deploy.settings import Compat, PropagationSettings
from fgvc_deploy.video.source import pattern_images, without_password

Kind = Literal["points", "grid", "mask", "keypoints"]
KINDS: tuple[Kind, ...] = ("points", "grid", "mask", "keypoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The options of `fgvc-deploy run`; exactly one of points, grid, mask and keypoints is not None."""

    source: str
    model: Path | None = None
    points: Path | None = None
    grid: int | None = None
    mask: Path | None = None
    keypoints: Path | None = None
    query_frame: int = 0
    query_order: QueryOrder | None = None
    size: str | None = None
    backend: str = "auto"
    compat: Compat = "corrected"
    mode: Literal["local", "coarse-to-fine"] | None = None
    fine: bool | None = None
    bidirectional: bool = False
    round_trip: bool = False
    threads: int | None = None
    out: Path | None = None
    overwrite: bool = False
    overlay: bool = True
    codec: str = "h264"

    @property
    def kind(self) -> Kind:
        """What is tracked.  Raises InputError unless exactly one option names it."""
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            what = " and ".join(f"--{kind}" for kind in given) + " were" if given else "nothing was"
            raise InputError(f"give exactly one of --points, --grid, --mask and --keypoints; {what} given.")
        return given[0]

    def check(self) -> None:
        """Raise InputError for options that contradict each other: none is dropped in silence."""
        kind = self.kind
        if self.query_frame and kind not in ("grid", "mask"):
            raise InputError(f"--query-frame is for --grid and --mask; the file of --{kind} names frames itself.")
        if self.query_order and kind != "points":
            raise InputError(f"--query-order is for --points with a .npy file; drop it when --{kind} is given.")
        if self.fine and kind not in ("points", "grid"):
            raise InputError(f"--fine is for --points and --grid; drop it when --{kind} is given.")
        if self.fine and self.compat == "reference":
            raise InputError("--fine is none of the reference's: drop it, or --compat reference.")
        if self.round_trip and kind == "mask":
            raise InputError("--round-trip is for points; drop it when --mask is given.")
        if self.round_trip and self.compat == "reference":
            raise InputError("--round-trip is none of the reference's: drop it, or --compat reference.")

    @property
    def folder(self) -> Path:
        """Where the results go; a camera's password never becomes part of the name."""
        name = Path(without_password(self.source).rstrip("/")).stem.strip("*?[]. ") or "source"
        return self.out or Path("fgvc-out") / name

    def inputs(self) -> list[Path]:
        """Files and folders of the job that exist; the results must not replace them."""
        candidates = [Path(self.source), self.model, self.points, self.mask, self.keypoints]
        if glob.has_magic(self.source):
            candidates += {path.parent for path in pattern_images(self.source)}
        return [path for path in candidates if path is not None and path.exists()]

    def asked(self) -> dict[str, str | int | bool | None]:
        """What run.json says about the queries and the overlay, so that a run can be repeated."""
        name = self.points or self.mask or self.keypoints
        return {
            "queries": None if name is None else str(name),
            "query_frame": self.query_frame if self.kind in ("grid", "mask") else None,
            "query_order": self.query_order,
            "bidirectional": self.bidirectional,
            "round_trip": self.round_trip,
            "codec": self.codec if self.overlay else None,
        }

    def propagation(self, settings: PropagationSettings) -> PropagationSettings:
        """The bundle's propagation settings, with `mode` and `fine` replaced where the job names one."""
        changes: dict[str, str] = {}
        if self.mode is not None:
            changes["mode"] = self.mode.replace("-", "_")
        if self.fine is not None:
            changes["fine"] = "patch" if self.fine else "off"
        return settings.model_copy(update=changes)
