"""What a bundle says about itself: the schema of manifest.json.

Only the record and its own consistency live here; `reading.py` compares it with the files, `writing.py` makes it.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from fgvc_deploy.errors import BundleError
from fgvc_deploy.settings import EncoderSettings, FrozenModel, PreprocessSettings, PropagationSettings

SCHEMA_VERSION: Final = 1
MANIFEST_NAME = "manifest.json"
CARD_NAME = "MODEL_CARD.md"
# A manifest is a few kilobytes; one artefact cannot pass protobuf's 2 GiB limit.  The limits bound what a hostile
# archive can make us read.
MAX_MANIFEST_BYTES = 1 << 20
MAX_ARTEFACT_BYTES = 1 << 31
MAX_ARTEFACTS = 4096

ArtefactKind = Literal["encoder", "propagation", "kernel", "engine", "document"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Target = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.:-]+$")]
FrameSize = Annotated[str, StringConstraints(pattern=r"^(native|short:[1-9][0-9]*|[1-9][0-9]*x[1-9][0-9]*)$")]


def path_fault(path: str) -> str | None:
    """Say why `path` cannot name a file inside a bundle, or None when it can.

    Allowed: relative POSIX paths in normal form without '..', back slashes, drive letters or control characters.
    """
    if not path or path != str(PurePosixPath(path)) or path == ".":
        return "is not a plain relative path"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return "leaves the bundle"
    # A back slash or a drive letter leaves the bundle on another system; a control character hides in a message.
    if "\\" in path or ":" in path or not path.isprintable():
        return "is not a plain relative path"
    return None


class ParityFigure(FrozenModel):
    """One measured difference from the reference, beside the budget it had to keep."""

    figure: str
    value: float
    budget: float
    unit: str
    limit: Literal["at_most", "at_least"] = "at_most"
    passed: bool
    detail: str = ""

    @model_validator(mode="after")
    def _passed_follows_from_the_figure(self) -> Self:
        within = self.value <= self.budget if self.limit == "at_most" else self.value >= self.budget
        if self.passed != (within and math.isfinite(self.value)):
            raise ValueError(f"parity figure {self.figure}: `passed` contradicts its value and budget")
        return self


class ParityNotRun(FrozenModel):
    """A figure that was not measured, and why."""

    figure: str
    not_run: str


class Artefact(FrozenModel):
    """One file of the bundle: what it is, what runs it, and how to know it is unchanged.

    `target` names the runtime or chip it is made for (`onnx`, later `mnn`, `rtx`, `cubin:sm_87`); `precision` is that
    of its weights (`fp32`, later `fp16`, `int8`), None for documents.
    """

    kind: ArtefactKind
    target: Target
    precision: str | None = None
    path: str
    bytes: Annotated[int, Field(ge=0, le=MAX_ARTEFACT_BYTES)]
    sha256: Sha256
    parity: tuple[ParityFigure | ParityNotRun, ...] = ()

    @field_validator("path")
    @classmethod
    def _inside_the_bundle(cls, path: str) -> str:
        fault = path_fault(path)
        if fault is None and path.casefold() == MANIFEST_NAME:
            fault = "is the manifest itself"
        if fault is not None:
            raise ValueError(f"the path {path!r} {fault}")
        return path


class Provenance(FrozenModel):
    """Where the weights come from.

    `weights` says in a few words what they are ("untrained weights", "ImageNet weights, not trained for
    correspondence"); `licence` are the terms they come with; `versions` maps each tool used to its version.
    """

    weights: str
    checkpoint: str | None = None
    checkpoint_sha256: Sha256 | None = None
    training: str = ""
    licence: str = ""
    versions: dict[str, str] = Field(default_factory=dict)


class Manifest(FrozenModel):
    """The whole of manifest.json."""

    schema_version: Literal[1] = SCHEMA_VERSION
    encoder: EncoderSettings
    preprocess: PreprocessSettings
    propagation: PropagationSettings
    default_size: FrameSize = "native"
    artefacts: Annotated[tuple[Artefact, ...], Field(max_length=MAX_ARTEFACTS)]
    provenance: Provenance

    @model_validator(mode="after")
    def _paths_are_distinct(self) -> Self:
        # Case-folded: on macOS and Windows `A.onnx` and `a.onnx` are one file.
        seen: set[str] = set()
        for artefact in self.artefacts:
            if artefact.path.casefold() in seen:
                raise ValueError(f"the path {artefact.path!r} is listed twice")
            seen.add(artefact.path.casefold())
        return self

    def to_json(self) -> bytes:
        """UTF-8 text of manifest.json, ending in a newline."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Check and return a manifest; `where` names the bundle in errors.

    Raises `BundleError` when the text is not JSON, is from a newer version of fgvc-deploy, or breaks the schema.
    """
    try:
        raw: Any = from_json(text)
    except ValueError as error:
        raise BundleError(f"{where}: {MANIFEST_NAME} is not valid JSON ({error}); export the bundle again.") from None
    _check_version(raw, where)
    try:
        # From JSON, not from `raw`: JSON mode takes lists for tuples and is strict about everything else.
        return Manifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise BundleError(f"{where}: {MANIFEST_NAME}: {_first_fault(error)}; export the bundle again.") from None


def _check_version(raw: Any, where: str) -> None:
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if type(version) is not int or version < 1:
        raise BundleError(
            f"{where}: {MANIFEST_NAME} has no schema_version, so this is not an fgvc-deploy bundle; "
            "make one with `fgvc-deploy export`."
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{where}: {MANIFEST_NAME} has schema_version {version}, this fgvc-deploy reads up to {SCHEMA_VERSION}; "
            "update with `pip install -U fgvc-deploy`."
        )


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
