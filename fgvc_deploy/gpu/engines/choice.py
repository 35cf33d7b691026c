"""Which engine runs the encoder here: the bundle's, else one that was built here before, else one built now.

`EngineSearch` answers in that order; nothing is loaded into a GPU here (`gpu/encoders/engine.py` does that).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import NamedTuple

from fgvc_deploy.bundle.engine_key import EngineKey
from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.cubins.chips import chip_of
from fgvc_deploy.gpu.engines.api import MENDS, MODULES, Runtime
from fgvc_deploy.gpu.engines.builder import Plan, build_engine
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.engines.files import EngineFile, Here, engine_files, mismatch
from fgvc_deploy.gpu.engines.profiles import profile_for

# Precisions that an engine may have without anybody asking for it, best first.
UNASKED = ("fp16", "fp32")
# The ONNX file of a precision; what an int8 engine starts from is not the file of that name for CPUs.
ONNX_TARGET = {"int8": "qdq"}

_log = logging.getLogger(__name__)


class ReadyEngine(NamedTuple):
    """An engine that fits here; `where` names it in errors, `cached` tells that it was built here."""

    key: EngineKey
    content: bytes
    where: str
    cached: bool


@dataclass(frozen=True, slots=True)
class EngineSearch:
    """The engines of one runtime for a bundle's encoder on the machine `here`.

    `precision` empty: fp16 before fp32, and int8 never.
    """

    bundle: Bundle
    runtime: Runtime
    here: Here
    precision: str = ""
    cache: EngineCache = field(default_factory=EngineCache)

    def ready(self) -> ReadyEngine | None:
        """The bundle's engine that fits, else one from the cache."""
        for engine in self._in_bundle():
            if mismatch(engine.key, self.here) is None:
                where = f"{self.bundle.path}: {engine.artefact.path!r}"
                return ReadyEngine(engine.key, self.bundle.read(engine.artefact), where, cached=False)
        for key, _ in self._sources():
            content = self.cache.load("engine", key)
            if content is not None:
                return ReadyEngine(key, content, str(self.cache.path("engine", key)), cached=True)
        return None

    def built(self) -> ReadyEngine:
        """An engine built now from the bundle's ONNX file, for this and the next starts.

        Takes a second with TensorRT-RTX and up to minutes with TensorRT.  Raises BackendError, one sentence, when
        that cannot be done here.
        """
        obstacle = self.obstacle_to_building()
        if obstacle is not None:
            raise BackendError(obstacle)
        key, source = self._sources()[0]
        _log.warning(
            "Building the %s %s engine from %s, once for this GPU.", key.precision, self.runtime, source.path
        )
        rtx = self.runtime == "rtx"
        chip, timing = (key.chip, None) if rtx else (None, self.cache.timing_file(key))
        content = build_engine(
            self.bundle.read(source), Plan(self.runtime, key.precision, key.profile, chip=chip, timing_cache=timing)
        )
        self.cache.store("engine", key, content)
        return ReadyEngine(key, content, f"the engine built from {self.bundle.path}: {source.path!r}", cached=True)

    def obstacle_to_building(self) -> str | None:
        """Why no engine is ready and none can be built here, in one sentence with what mends it, or None."""
        if self.runtime not in self.here.runtime_versions:
            return f"{MODULES[self.runtime]} is not installed; run `{MENDS[self.runtime]}`."
        if self._sources():
            return None
        reasons = [f"{engine.artefact.path}: {mismatch(engine.key, self.here)}" for engine in self._in_bundle()]
        asked = " ".join(filter(None, (self.precision, self.runtime)))
        return (
            f"The bundle has no {asked} engine for this machine ({' | '.join(reasons) or 'it has none'}), and no "
            "ONNX file to build one from here; export the checkpoint again with `--target "
            f"{ONNX_TARGET.get(self.precision, 'onnx')}`, or {_target(self.runtime, self.here)}."
        )

    def _in_bundle(self) -> list[EngineFile]:
        found = [e for e in engine_files(self.bundle) if e.key.runtime == self.runtime]
        found = [e for e in found if e.key.precision in self._wanted]
        return sorted(found, key=lambda engine: self._wanted.index(engine.key.precision))

    def _sources(self) -> list[tuple[EngineKey, Artefact]]:
        """What an engine can be built from here, best first, with the key that it would have."""
        if self.runtime not in self.here.runtime_versions:
            return []
        sources = []
        for precision in self._wanted:
            try:
                target = ONNX_TARGET.get(precision, "onnx")
                source = self.bundle.find(kind="encoder", target=target, precision=precision)
            except BundleError:
                continue
            sources.append((self._key(precision, source.sha256), source))
        return sources

    def _key(self, precision: str, model_sha256: str) -> EngineKey:
        full = self.here.key(self.runtime, precision, model_sha256, profile_for(self.bundle.manifest.default_size))
        # TensorRT-RTX finishes its engines on the GPU that runs them.
        return full.model_copy(update={"gpu": None, "driver": None, "cuda": None}) if self.runtime == "rtx" else full

    @property
    def _wanted(self) -> tuple[str, ...]:
        return (self.precision,) if self.precision else UNASKED


def _target(runtime: Runtime, here: Here) -> str:
    """How to get an engine for this machine by exporting."""
    if runtime == "tensorrt":
        return "on this machine with `--target tensorrt`"
    return f"with `--target rtx:{chip_of(here.device.compute_capability)}`"
