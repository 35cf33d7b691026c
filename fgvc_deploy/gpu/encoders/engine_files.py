"""The engines of a bundle and of this machine's cache, and whether they fit here.  Running one is `engine.py`.

An engine has a key beside it, `EngineKey`; one that differs in any part it depends on is never loaded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from fgvc_deploy.bundle.engine_key import EngineKey
from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.chips import chip_of
from fgvc_deploy.gpu.driver import DeviceInfo

SUFFIX = ".engine"


class EngineFile(NamedTuple):
    """One engine: what it was built for, and where it is."""

    key: EngineKey
    artefact: Artefact


class Here(NamedTuple):
    """What engines depend on, as it is on this machine; `device` is None where there is no GPU."""

    device: DeviceInfo | None
    runtime_versions: dict[str, str]

    def key_like(self, key: EngineKey) -> EngineKey:
        """The key that an engine would need to have to run here, else equal to `key`."""
        gpu = self.device
        return key.model_copy(
            update={
                "runtime_version": self.runtime_versions.get(key.runtime, "not installed"),
                "chip": chip_of(gpu.compute_capability) if gpu else "sm_00",
                "gpu": gpu.name if gpu else None,
                "driver": str(gpu.driver_version) if gpu else None,
                "cuda": gpu.cuda if gpu else None,
            }
        )


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


def cache_folder() -> Path:
    """Where engines made on this machine are kept: $FGVC_CACHE, else ~/.cache/fgvc-deploy."""
    return Path(os.environ.get("FGVC_CACHE") or Path.home() / ".cache" / "fgvc-deploy")


def cached_engine(key: EngineKey, folder: Path | None = None) -> bytes | None:
    """The engine with exactly this key from the cache, or None."""
    path = (folder or cache_folder()) / f"{key.digest}{SUFFIX}"
    return path.read_bytes() if path.is_file() else None


def store_engine(key: EngineKey, content: bytes, folder: Path | None = None) -> Path:
    """Put an engine into the cache, whole or not at all; other processes may do the same."""
    target = (folder or cache_folder()) / f"{key.digest}{SUFFIX}"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(target)
    target.with_suffix(".json").write_bytes(key.to_json())
    return target
