"""What an engine was built for, and whether it fits here: the key that names engines in bundles and in caches.

No GPU is asked anything here: who has a driver says what it is.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError

from fgvc_deploy.bundle.manifest import Sha256
from fgvc_deploy.errors import BundleError
from fgvc_deploy.settings import FrozenModel

Chip = Annotated[str, StringConstraints(pattern=r"^sm_[0-9]{2,3}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+_-]+$")]
Side = Annotated[int, Field(ge=1)]


class Profile(FrozenModel):
    """Network sizes (height, width) that an engine takes: the smallest, the one it is made fast for, the largest."""

    smallest: tuple[Side, Side]
    usual: tuple[Side, Side]
    largest: tuple[Side, Side]

    def takes(self, hw: tuple[int, int]) -> bool:
        """Whether a frame of this height and width can be run."""
        return all(low <= side <= high for low, side, high in zip(self.smallest, hw, self.largest, strict=True))


class EngineKey(FrozenModel):
    """Everything that an engine depends on.

    `model_sha256` is that of the ONNX file it was built from.  `gpu` (product name), `driver` and `cuda` are None for
    engines that do not depend on them: TensorRT-RTX finishes its engines on the GPU that runs them.
    """

    schema_version: Literal[1] = 1
    runtime: Literal["rtx", "tensorrt"]
    runtime_version: Version
    chip: Chip
    precision: str
    model_sha256: Sha256
    profile: Profile
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None

    @property
    def stem(self) -> str:
        """File name without its ending, for people: `sm_86-rtx1.7.1.116-fp16`."""
        return f"{self.chip}-{self.runtime}{self.runtime_version}-{self.precision}"

    @property
    def digest(self) -> str:
        """32 hex digits that differ when any part of the key differs: the name of an engine in a cache."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]

    def mismatches(self, here: EngineKey) -> list[str]:
        """What keeps this engine from running where the key would be `here`, one phrase for each part.

        Parts that are None in this key may be anything.  The profile is no matter: see `Profile.takes`.
        """
        parts = ("runtime", "runtime_version", "chip", "precision", "model_sha256", "gpu", "driver", "cuda")
        return [
            f"{part.replace('_', ' ')} is {getattr(here, part)}, the engine was built for {getattr(self, part)}"
            for part in parts
            if getattr(self, part) not in (None, getattr(here, part))
        ]

    def to_json(self) -> bytes:
        """UTF-8 text of the file beside an engine, ending in a newline."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    @classmethod
    def parse(cls, text: bytes, where: str) -> Self:
        """The key in a file; `where` names it in the `BundleError` for one that is damaged."""
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"])) or "it"
            raise BundleError(
                f"{where}: does not describe an engine ({place}: {fault['msg']}); export the bundle again."
            ) from None
