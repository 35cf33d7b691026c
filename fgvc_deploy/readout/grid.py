"""Where label maps lie: the geometry that every read-out needs, in one record."""

from __future__ import annotations

from typing import NamedTuple

from fgvc_deploy.settings import Compat


class ReadGrid(NamedTuple):
    """Feature grid and network frame, (height, width) each, the stride between them, and whose rules to follow."""

    feature_hw: tuple[int, int]
    network_hw: tuple[int, int]
    stride: int
    compat: Compat
