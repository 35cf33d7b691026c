"""The cubins of a bundle and what their metadata says, without a driver: listing, choosing, checking.

Loading them into a GPU is `kernel_set.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.cubins.metadata import KernelMetadata, parse_metadata

PREFIX = "cubin:"
Constant = int | float | bool | str


class KernelImage(NamedTuple):
    """One cubin of a bundle and the JSON beside it."""

    metadata: KernelMetadata
    artefact: Artefact

    def facts(self, names: Iterable[str]) -> dict[str, Constant | None]:
        """The types of parameters and values of constants with these names; None for what it does not have."""
        known: dict[str, Constant] = {**{p.name: p.type for p in self.metadata.params}, **self.metadata.constexprs}
        return {name: known.get(name) for name in names}


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


def pick(
    images: list[KernelImage], kernel: str, where: str, types: Mapping[str, str], constants: Mapping[str, Constant]
) -> KernelImage:
    """The image of a kernel that was compiled so; BundleError naming what there is instead.

    With `types` given, variants called `kernel_` and a word behind are looked at too.
    """
    same = [
        i for i in images if i.metadata.kernel == kernel or (types and i.metadata.kernel.startswith(kernel + "_"))
    ]
    wanted = dict(types) | dict(constants)
    for image in same:
        if image.facts(wanted) == wanted:
            return image
    asked = _words(wanted)
    have = "; ".join(f"{image.metadata.kernel} {_words(image.facts([*types, *constants]))}".strip() for image in same)
    raise BundleError(
        f"{where}: has no kernel {kernel}{' for ' if asked else ''}{asked} (it has: {have or 'none'}); export the "
        "checkpoint again with `--target cubin:` of this chip."
    )


def read_image(bundle: Bundle, image: KernelImage) -> bytes:
    """The machine code, checked once more against its metadata."""
    content = bundle.read(image.artefact)
    if hashlib.sha256(content).hexdigest() != image.metadata.sha256:
        raise BundleError(f"{bundle.path}: {image.artefact.path!r} was changed; copy the bundle again.")
    return content


def _words(facts: Mapping[str, Constant | None]) -> str:
    return ", ".join(f"{name}={value}" for name, value in facts.items())


def _is_cubin(artefact: Artefact) -> bool:
    return artefact.kind == "kernel" and artefact.target.startswith(PREFIX) and artefact.path.endswith(".cubin")
