"""fgvc-deploy: track points, masks and keypoints with a trained FGVC encoder.  Runtime only: no torch, no triton.

The public names below are imported when first used, so that `import fgvc_deploy` and `--help` stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgvc_deploy.bundle import Bundle, open_bundle
    from fgvc_deploy.errors import (
        BackendError,
        BundleError,
        CheckpointError,
        FgvcError,
        InputError,
        OutputError,
        ParityError,
        SourceFault,
    )
    from fgvc_deploy.model import Model, load
    from fgvc_deploy.settings import PropagationSettings
    from fgvc_deploy.trackers.masks import MaskTracker
    from fgvc_deploy.trackers.points import PointStep, PointTracker
    from fgvc_deploy.tracks import Tracks

__all__ = [
    "BackendError",
    "Bundle",
    "BundleError",
    "CheckpointError",
    "FgvcError",
    "InputError",
    "MaskTracker",
    "Model",
    "OutputError",
    "ParityError",
    "PointStep",
    "PointTracker",
    "PropagationSettings",
    "SourceFault",
    "Tracks",
    "load",
    "open_bundle",
]

_HOME = {
    "Bundle": "bundle",
    "MaskTracker": "trackers.masks",
    "Model": "model",
    "PointStep": "trackers.points",
    "PointTracker": "trackers.points",
    "PropagationSettings": "settings",
    "Tracks": "tracks",
    "load": "model",
    "open_bundle": "bundle",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fgvc_deploy' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fgvc_deploy.{_HOME.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
