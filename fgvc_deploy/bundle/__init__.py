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
from fgvc_deploy.bundle.writing import BundleDraft, Payload, check_destination, write_bundle

__all__ = [
    "SCHEMA_VERSION",
    "Artefact",
    "Bundle",
    "BundleDraft",
    "Manifest",
    "ParityFigure",
    "ParityNotRun",
    "Payload",
    "Provenance",
    "check_destination",
    "open_bundle",
    "write_bundle",
]
