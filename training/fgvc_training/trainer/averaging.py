"""Moving average of an encoder's weights: what is evaluated and exported."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

# The average forgets quickly at first: after n updates it spans about n/10 of them until `decay` takes over.
_WARM_UP = 10


class MovingAverage:
    """An encoder in eval mode whose tensors follow those of the trained one; with `decay` 0 it is a copy."""

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.encoder = deepcopy(source).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Take one step towards `source`; batch-norm statistics are averaged too, counters copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (_WARM_UP + self.updates))
        mine, theirs = self.encoder.state_dict(), source.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"encoder": self.encoder.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a checkpoint stopped."""
        self.encoder.load_state_dict(state["encoder"])
        self.updates = state["updates"]
