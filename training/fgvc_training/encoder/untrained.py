"""Deterministic untrained weights, the same on every machine: the recipe of the goldens (README, "Weights recipe").

For demonstrations and parity tests.  They track roughly, because random convolutions keep neighbourhoods apart; they
say nothing about quality.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fgvc_training.encoder.architectures import architecture


def recipe_array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Value of the tensor whose full official name is `name`, from NumPy's legacy generator seeded with its CRC-32.

    Convolutions and linear weights get He's scale, batch norms stay near the identity, counters are 0.
    """
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) == 4:
        x = x * math.sqrt(2 / math.prod(shape[1:]))
    elif len(shape) == 2:
        x = x * math.sqrt(2 / shape[1])
    elif name.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif name.endswith("bn.weight"):
        x = 1 + 0.1 * x
    elif len(shape) == 1:
        x = 0.1 * x
    else:
        x = 0 * x
    return np.asarray(x, dtype=np.float32)


def recipe_state(module: nn.Module, prefix: str = "backbone.") -> dict[str, Tensor]:
    """A state dict for `module`, each tensor named `prefix` + its name for the recipe."""
    return {
        name: torch.from_numpy(recipe_array(prefix + name, tuple(tensor.shape))).to(tensor.dtype)
        for name, tensor in module.state_dict().items()
    }


def untrained_encoder(arch: str) -> nn.Module:
    """The encoder `arch` with the recipe's weights, in eval mode."""
    module = architecture(arch).build()
    module.load_state_dict(recipe_state(module))
    return module.eval()
