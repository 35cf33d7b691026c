"""What TensorRT-RTX compiles for the GPU while an engine runs, kept for the next start.

The code in its engines is finished on the GPU that runs them, for each shape that comes; a runtime cache keeps that
(tensorrt_rtx 1.7).  TensorRT has no such thing: its engines are finished when they are built.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fgvc_deploy.bundle.engine_key import EngineKey
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.stream.session import GpuSession


def execution_context(session: GpuSession, engine: Any, key: EngineKey, cache: EngineCache) -> Any:
    """A context of a deserialised engine; `key` is the engine's on this GPU.  Use it inside `session.working()`.

    What was compiled is stored when the session ends.  None where the runtime cannot make a context.
    """
    config = engine.create_runtime_config() if hasattr(engine, "create_runtime_config") else None
    if config is None or not hasattr(config, "create_runtime_cache"):
        return engine.create_execution_context()
    compiled = config.create_runtime_cache()
    stored = cache.load("jit", key)
    # One from another GPU, driver or version is refused, which leaves the runtime cache empty.
    if stored is not None and not compiled.deserialize(stored):
        stored = None
    config.set_runtime_cache(compiled)
    session.at_end(partial(_keep, compiled, stored, key, cache))
    return engine.create_execution_context(config)


def _keep(compiled: Any, stored: bytes | None, key: EngineKey, cache: EngineCache) -> None:
    """Store what has been compiled, unless it is what was there before."""
    serialised = compiled.serialize()
    content = b"" if serialised is None else bytes(memoryview(serialised))
    if content and content != stored:
        cache.store("jit", key, content)
