"""The bundle: the directory (or .zip of it) that a deployment ships.  Reading, writing and its manifest."""

from fgvc_deploy.bundle.manifest import (
    SCHEMA_VERSION,
    Artefact,
    Manifest,
    ParityFigure,
    ParityNotRun,
    Provenance,
)
from fgvc_deploy.bundle.reading import Bundle, open_bundle

__all__ = [
    "SCHEMA_VERSION",
    "Artefact",
    "Bundle",
    "Manifest",
    "ParityFigure",
    "ParityNotRun",
    "Provenance",
    "open_bundle",
]
