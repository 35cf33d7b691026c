"""Which cubins run on which GPU: by NVIDIA's compatibility rules and nothing looser.

Below compute capability 9.0 a cubin runs on its own and later minors of the same major (sm_80 on 86 and 89; but what
was built for 86 does not run on 80).  NVIDIA promises that neither on Jetson nor between Jetson and the desktop, so
sm_87 stands alone.  From 9.0 on ours are exact-chip targets ("sm_90a") that run on one chip only.
"""

from __future__ import annotations

from collections.abc import Iterable

from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.cubins.metadata import FIRST_EXACT

OLDEST = 80
JETSON = "sm_87"
NAMES = {
    "sm_80": "A100",
    "sm_86": "RTX 30xx, A10, A40",
    "sm_87": "Jetson Orin",
    "sm_89": "RTX 40xx, L4, L40",
    "sm_90": "H100, H200, GH200",
    "sm_100": "B200, GB200",
    "sm_103": "B300, GB300",
    "sm_110": "Jetson Thor",
    "sm_120": "RTX 50xx, RTX PRO Blackwell",
    "sm_121": "DGX Spark",
}


def chip_of(compute_capability: tuple[int, int]) -> str:
    """`sm_87` for (8, 7)."""
    major, minor = compute_capability
    return f"sm_{major}{minor}"


def runs_on(cubin: str, gpu: str) -> bool:
    """Whether a cubin made for one chip runs on a GPU that is another, both as `sm_87`."""
    made, has = _number(cubin), _number(gpu)
    if made == has:
        return True
    return has < FIRST_EXACT and made // 10 == has // 10 and made < has and JETSON not in (cubin, gpu)


def choose_chip(available: Iterable[str], compute_capability: tuple[int, int], gpu_name: str) -> str:
    """The chip whose cubins to load on this GPU: its own, else the nearest older one that runs on it.

    Raises BackendError, one sentence, when none of the cubins does.
    """
    gpu = chip_of(compute_capability)
    have = sorted(set(available), key=_number)
    fitting = [chip for chip in have if runs_on(chip, gpu)]
    if fitting:
        return fitting[-1]
    if compute_capability < (8, 0):
        raise BackendError(
            f"The GPU here, {gpu_name}, is {gpu}, which is older than the oldest chip the kernels are made for "
            f"(sm_{OLDEST}); use --backend auto, which runs on the CPU."
        )
    raise BackendError(
        f"The bundle has cubins for {', '.join(have) or 'no chip'}, of which none runs on the GPU here, {gpu_name} "
        f"({gpu}); export the checkpoint again with `--target cubin:{gpu}`."
    )


def _number(chip: str) -> int:
    return int(chip.removeprefix("sm_"))
