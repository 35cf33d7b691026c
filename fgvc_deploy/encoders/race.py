"""Which of several encoders is the fastest here: a question of this processor, so it is asked by trying."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import EncoderBackend

# Every video waits for the race: 1.1 CPU-seconds for ResNet-18, 0.04 for EfficientNet-lite0.  At 128 the ranking of
# ONNX Runtime, Winograd and MNN is that of 256 x 448; still smaller frames measure the starting of threads.
SIDE = 128
# ONNX Runtime plans its memory in the first call and touches the new block in the second: 74 MB of page faults for
# Winograd at 192 x 192.  Races that counted the second call, and no other when that took long, lost it.
WARM_UP = 2
# Neighbours on the cores slow single calls down by half: no choice stands on fewer rounds than this.  With both
# cores taken by others for most of the time, two threads chose Winograd in 13 of 18 processes (before: 4 of 19; it is
# 5 to 15 % faster then), one thread in 11 of 12 (before: 9).
FEWEST_ROUNDS, MOST_ROUNDS = 3, 9
SECONDS = 0.3
# A later backend must be this much faster: between equals the choice should not follow the noise.
MARGIN = 0.95

Times = NDArray[np.float64]


def fastest(backends: Sequence[EncoderBackend]) -> EncoderBackend:
    """The backend that encodes a small frame in the least time; an earlier one unless a later is 5 % faster.

    Rounds go on until each of them, taken alone, says the same, or until they have taken long enough.
    """
    x = np.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE), dtype=np.float32)
    for _ in range(WARM_UP):
        _round(backends, x)
    began = time.perf_counter()
    rounds = np.zeros((0, len(backends)))
    while len(rounds) < MOST_ROUNDS:
        # In turns forwards and backwards: whoever comes last in a round does not always follow the same neighbour.
        step = -1 if len(rounds) % 2 else 1
        rounds = np.vstack([rounds, _round(backends[::step], x)[::step]])
        if len(rounds) >= FEWEST_ROUNDS and (_agree(rounds) or time.perf_counter() - began > SECONDS):
            break
    return backends[_choice(rounds)]


def _round(backends: Sequence[EncoderBackend], x: NDArray[np.float32]) -> Times:
    """Seconds of one call of each, [backends]."""
    clock = [time.perf_counter()]
    for backend in backends:
        backend.encode(x)
        clock.append(time.perf_counter())
    return np.diff(clock)


def _choice(rounds: Times) -> int:
    """Index of the winner of `rounds` [rounds, backends].

    Backends are compared within a round and the median of that taken: load that comes and goes meets both, and one
    call that was held up decides nothing.
    """
    chosen = 0
    for index in range(rounds.shape[1]):
        if np.median(rounds[:, index] / rounds[:, chosen]) < MARGIN:
            chosen = index
    return chosen


def _agree(rounds: Times) -> bool:
    return len({_choice(one[None]) for one in rounds}) == 1
