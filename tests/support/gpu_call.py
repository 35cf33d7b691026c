"""One launch as an emulated kernel sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_memory import EmulatedMemory

DTYPES = {"*fp16": np.float16, "*fp32": np.float32, "*i32": np.int32, "*u8": np.uint8}


@dataclass(frozen=True)
class Call:
    """One launch: parameter values and types by name, compiled-in constants, blocks along x and y."""

    memory: EmulatedMemory
    values: Mapping[str, Any]
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    grid: tuple[int, int, int]

    def array(self, name: str, *shape: int) -> NDArray[Any]:
        return self.memory.view(self.values[name], DTYPES[self.types[name]], shape)
