"""The engines of a bundle, and whether they fit here.  Those built on this machine are `cache.py`'s.

An engine has a key beside it, `EngineKey`; one that differs in any part it depends on is never loaded.
"""

from __future__ import annotations

from typing import NamedTuple

from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.cubins.chips import chip_of
from fgvc_deploy.gpu.device.driver import DeviceInfo
from fgvc_deploy.gpu.engines.api import Runtime

SUFFIX = ".engine"


class EngineFile(NamedTuple):
    """One engine: what it was built for, and where it is."""

    key: EngineKey
    artefact: Artefact


class Here(NamedTuple):
    """What engines depend on, as it is on this machine: the GPU, and versions of the runtimes that are installed."""

    device: DeviceInfo
    runtime_versions: dict[Runtime, str]

    def key(self, runtime: Runtime, precision: str, model_sha256: str, profile: Profile) -> EngineKey:
        """The key of an engine built here, for this GPU and driver; the runtime must be installed."""
        return EngineKey(
            runtime=runtime,
            runtime_version=self.runtime_versions[runtime],
            chip=chip_of(self.device.compute_capability),
            precision=precision,
            model_sha256=model_sha256,
            profile=profile,
            gpu=self.device.name,
            driver=str(self.device.driver_version),
            cuda=self.device.cuda,
        )

    def key_like(self, key: EngineKey) -> EngineKey:
        """The key that an engine would need to have to run here, else equal to `key`."""
        if key.runtime in self.runtime_versions:
            return self.key(key.runtime, key.precision, key.model_sha256, key.profile)
        return key.model_copy(update={"runtime_version": "not installed"})


def engine_files(bundle: Bundle) -> list[EngineFile]:
    """Every engine of a bundle; raises BundleError for one without a readable key beside it."""
    by_path = {artefact.path: artefact for artefact in bundle.manifest.artefacts}
    found = []
    for artefact in bundle.manifest.artefacts:
        if artefact.kind != "engine" or not artefact.path.endswith(SUFFIX):
            continue
        beside = by_path.get(artefact.path.removesuffix(SUFFIX) + ".json")
        where = f"{bundle.path}: {artefact.path!r}"
        if beside is None:
            raise BundleError(f"{where} has no .json beside it that says what it was built for; export it again.")
        found.append(EngineFile(EngineKey.parse(bundle.read(beside), f"{bundle.path}: {beside.path!r}"), artefact))
    return found


def mismatch(key: EngineKey, here: Here) -> str | None:
    """Why an engine cannot run here, in words, or None."""
    differences = key.mismatches(here.key_like(key))
    return "; ".join(differences) if differences else None
