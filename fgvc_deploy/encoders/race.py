"""Which of several encoders is the fastest here: a question of this processor, so it is asked by trying."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fgvc_deploy.encoders.base import EncoderBackend

# Every video waits for the race: 0.1 s for EfficientNet-lite0, 0.7 s for ResNet-18 on two cores.  On smaller frames
# the overheads of starting threads decide, not the arithmetic (at 96 x 96 the wrong one of two won).
SIDE = 192
ROUNDS = 5
SECONDS = 0.3
# A later backend must be this much faster: the choice should not follow the noise.
MARGIN = 0.9


def fastest(backends: Sequence[EncoderBackend]) -> EncoderBackend:
    """The backend that encodes a small frame in the least time; an earlier one unless a later is 10 % faster."""
    best = _best_seconds(backends)
    chosen = 0
    for index, seconds in enumerate(best):
        if seconds < MARGIN * best[chosen]:
            chosen = index
    return backends[chosen]


def _best_seconds(backends: Sequence[EncoderBackend]) -> list[float]:
    """Shortest time of each in a few rounds; one round when that takes long, for then it is also less noisy."""
    x = np.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE), dtype=np.float32)
    for backend in backends:
        # The first call allocates and is not counted.
        backend.encode(x)
    best = [np.inf] * len(backends)
    began = time.perf_counter()
    for _ in range(ROUNDS):
        for index, backend in enumerate(backends):
            start = time.perf_counter()
            backend.encode(x)
            best[index] = min(best[index], time.perf_counter() - start)
        if time.perf_counter() - began > SECONDS:
            break
    return best
