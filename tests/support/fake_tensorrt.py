"""Stand-ins for the `tensorrt` package as versions 8, 10 and 11 offer it, which record what a builder asks of them.

Names are from the Python API references of each version: 8 has no strongly typed networks; 10 has them
and the precision flags; 11 dropped the precision flags and EXPLICIT_BATCH.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

FLAGS = {
    "8.6": (["FP16", "INT8", "TF32", "OBEY_PRECISION_CONSTRAINTS"], ["EXPLICIT_BATCH"]),
    "10.9": (["FP16", "INT8", "TF32", "OBEY_PRECISION_CONSTRAINTS"], ["EXPLICIT_BATCH", "STRONGLY_TYPED"]),
    "11.4": (["TF32"], ["STRONGLY_TYPED"]),
}


class Logger:
    ERROR, INTERNAL_ERROR, WARNING = "error", "internal", "warning"

    def __init__(self) -> None:
        pass


class Cache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b"+measured"


class Config:
    def __init__(self, record: dict[str, Any], stale_cache: bool) -> None:
        self.record, self._stale, self._cache = record, stale_cache, Cache(b"")

    def set_flag(self, flag: str) -> None:
        self.record["flags"].add(flag)

    def clear_flag(self, flag: str) -> None:
        self.record["flags"].discard(flag)

    def add_optimization_profile(self, profile: Any) -> int:
        return self.record.setdefault("profile_index", 0)  # type: ignore[no-any-return]

    def create_timing_cache(self, content: bytes) -> Cache:
        return Cache(content)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if self._stale and cache.content:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Cache:
        return self._cache


def fake(version: str, *, fault: str = "", stale_cache: bool = False, engine: bytes | None = b"engine") -> Any:
    """The package; `.record` holds flags, network bits, shapes, the parsed file.  `fault`: what the parser says."""
    record: dict[str, Any] = {"flags": {"TF32"}}
    builder_flags, network_flags = FLAGS[version]

    class Builder:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def create_network(self, bits: int) -> Any:
            record["network"] = {name for index, name in enumerate(network_flags) if bits >> index & 1}
            return SimpleNamespace(get_input=lambda index: SimpleNamespace(name="frames"))

        def create_builder_config(self) -> Config:
            return Config(record, stale_cache)

        def create_optimization_profile(self) -> Any:
            return SimpleNamespace(set_shape=lambda name, *shapes: record.update(shapes={name: shapes}))

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            if engine is None:
                self._logger.log(Logger.WARNING, "a remark")
                self._logger.log(Logger.ERROR, "no kernel for node_conv2d")
            return engine

    def parser(network: Any, logger: Any) -> Any:
        def parse(content: bytes) -> bool:
            record["parsed"] = content
            return not fault

        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda index: fault)

    return SimpleNamespace(
        __name__="tensorrt",
        __version__=version,
        record=record,
        ILogger=Logger,
        BuilderFlag=SimpleNamespace(**{name: name for name in builder_flags}),
        NetworkDefinitionCreationFlag=SimpleNamespace(**{name: i for i, name in enumerate(network_flags)}),
        Builder=Builder,
        OnnxParser=parser,
    )
