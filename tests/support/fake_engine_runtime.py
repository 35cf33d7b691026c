"""Stand-ins for running an engine: TensorRT, and TensorRT-RTX with its cache of compiled code."""

from __future__ import annotations

from typing import Any


class Tensor:
    def __init__(self, name: str) -> None:
        self.name = name


class FakeEngineRuntime:
    """The part of TensorRT that `EngineEncoder` uses, with names checked against the real package in another test."""

    class TensorIOMode:
        INPUT = "in"

    class DataType:
        FLOAT = Tensor("FLOAT")
        HALF = Tensor("HALF")

    class Logger:
        ERROR = 1

        def __init__(self, severity: int) -> None:
            self.severity = severity

    def __init__(self, *, loads: bool = True) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.loads = loads
        self.num_io_tensors = 2
        self.config: FakeConfig | None = None

    def Runtime(self, logger: object) -> FakeEngineRuntime:  # noqa: N802
        return self

    def deserialize_cuda_engine(self, content: bytes) -> FakeEngineRuntime | None:
        return self if self.loads else None

    def create_execution_context(self, config: FakeConfig | None = None) -> FakeEngineRuntime:
        self.config = config
        return self

    def get_tensor_name(self, index: int) -> str:
        return ("frames", "features")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "frames" else "out"

    def get_tensor_dtype(self, name: str) -> Tensor:
        return self.DataType.FLOAT if name == "frames" else self.DataType.HALF

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return 1, 32, self.shape[2] // 4, self.shape[3] // 4

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append((name, address))
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.calls.append(("stream", stream))
        return True


class FakeCompiled:
    """A runtime cache.  Content that starts with `of this GPU` is taken; `serialize` adds what a run compiled."""

    def __init__(self) -> None:
        self.content = b"of this GPU"

    def deserialize(self, content: bytes) -> bool:
        fits = content.startswith(self.content)
        self.content = content if fits else self.content
        return fits

    def serialize(self) -> bytes:
        return self.content + b"+kernels"


class FakeConfig:
    def __init__(self) -> None:
        self.compiled: FakeCompiled | None = None

    def create_runtime_cache(self) -> FakeCompiled:
        return FakeCompiled()

    def set_runtime_cache(self, compiled: FakeCompiled) -> bool:
        self.compiled = compiled
        return True


class FakeRtx(FakeEngineRuntime):
    """TensorRT-RTX 1.7."""

    def create_runtime_config(self) -> FakeConfig:
        return FakeConfig()
