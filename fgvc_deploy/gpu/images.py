"""The cubins of a bundle and what their metadata says, without a driver: listing, choosing, checking.

Loading them into a GPU is `kernel_set.py`.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.metadata import KernelMetadata, parse_metadata

PREFIX = "cubin:"
Constant = int | float | bool | str


class KernelImage(NamedTuple):
    """One cubin of a bundle and the JSON beside it."""

    metadata: KernelMetadata
    artefact: Artefact

    def has(self, **constants: Constant) -> bool:
        """Whether it was compiled with these values; a constant it does not have fits any value."""
        return all(self.metadata.constexprs.get(name, value) == value for name, value in constants.items())


def cubin_chips(bundle: Bundle) -> tuple[str, ...]:
    """Chips that the bundle holds cubins for, each once."""
    targets = [a.target for a in bundle.manifest.artefacts if _is_cubin(a)]
    return tuple(dict.fromkeys(target.removeprefix(PREFIX) for target in targets))


def kernel_images(bundle: Bundle, chip: str) -> list[KernelImage]:
    """Every kernel that the bundle holds for a chip; raises BundleError when metadata is missing or damaged."""
    by_path = {artefact.path: artefact for artefact in bundle.manifest.artefacts}
    images = []
    for artefact in bundle.manifest.artefacts:
        if not _is_cubin(artefact) or artefact.target != PREFIX + chip:
            continue
        beside = by_path.get(artefact.path.removesuffix(".cubin") + ".json")
        where = f"{bundle.path}: {artefact.path!r}"
        if beside is None:
            raise BundleError(f"{where} has no .json beside it that says how to launch it; export the bundle again.")
        metadata = parse_metadata(bundle.read(beside), f"{bundle.path}: {beside.path!r}")
        if metadata.chip != chip or (metadata.sha256, metadata.bytes) != (artefact.sha256, artefact.bytes):
            raise BundleError(
                f"{where} is not the cubin that the .json beside it describes; export the bundle again."
            )
        images.append(KernelImage(metadata, artefact))
    return images


def pick(images: list[KernelImage], kernel: str, where: str, **constants: Constant) -> KernelImage:
    """The image of a kernel that was compiled with these constants; BundleError naming what there is instead."""
    same = [image for image in images if image.metadata.kernel == kernel]
    for image in same:
        if image.has(**constants):
            return image
    wanted = ", ".join(f"{name}={value}" for name, value in constants.items())
    have = "; ".join(_constants(image, constants) for image in same) or "none"
    raise BundleError(
        f"{where}: has no kernel {kernel} for {wanted} (it has: {have}); export the checkpoint again with "
        "`--target cubin:` of this chip."
    )


def read_image(bundle: Bundle, image: KernelImage) -> bytes:
    """The machine code, checked once more against its metadata."""
    content = bundle.read(image.artefact)
    if hashlib.sha256(content).hexdigest() != image.metadata.sha256:
        raise BundleError(f"{bundle.path}: {image.artefact.path!r} was changed; copy the bundle again.")
    return content


def _constants(image: KernelImage, asked: dict[str, Constant]) -> str:
    return ", ".join(f"{name}={value}" for name, value in image.metadata.constexprs.items() if name in asked)


def _is_cubin(artefact: Artefact) -> bool:
    return artefact.kind == "kernel" and artefact.target.startswith(PREFIX) and artefact.path.endswith(".cubin")
