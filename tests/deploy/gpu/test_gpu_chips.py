"""Which cubin runs on which GPU, and the sentence when none does."""

from __future__ import annotations

import pytest

from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.cubins.chips import choose_chip, runs_on

ALL = ["sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_103", "sm_110", "sm_120", "sm_121"]


@pytest.mark.parametrize("chip", ALL)
def test_every_chip_takes_its_own(chip: str) -> None:
    number = int(chip.removeprefix("sm_"))
    assert choose_chip(ALL, divmod(number, 10), "a GPU") == chip


@pytest.mark.parametrize(
    ("cubin", "gpu", "runs"),
    [
        ("sm_80", "sm_86", True),
        ("sm_80", "sm_89", True),
        ("sm_86", "sm_89", True),
        ("sm_86", "sm_80", False),
        ("sm_80", "sm_87", False),  # desktop and Jetson are not binary compatible
        ("sm_87", "sm_89", False),
        ("sm_80", "sm_90", False),
        ("sm_90", "sm_100", False),
        ("sm_100", "sm_103", False),  # an "a" target is for one chip
        ("sm_120", "sm_121", False),
    ],
)
def test_compatibility(cubin: str, gpu: str, runs: bool) -> None:
    assert runs_on(cubin, gpu) is runs


def test_the_nearest_older_cubin_is_taken() -> None:
    assert choose_chip(["sm_80", "sm_86"], (8, 9), "RTX 4090") == "sm_86"


@pytest.mark.parametrize(
    ("have", "gpu", "said"),
    [
        (["sm_87"], (8, 9), r"cubins for sm_87, .* RTX \(sm_89\); .*--target cubin:sm_89"),
        (["sm_90", "sm_80"], (12, 0), "cubins for sm_80, sm_90, "),
        (ALL, (7, 5), "sm_75, which is older"),
    ],
)
def test_a_wrong_chip_is_refused_in_one_sentence(have: list[str], gpu: tuple[int, int], said: str) -> None:
    with pytest.raises(BackendError, match=said) as caught:
        choose_chip(have, gpu, "RTX")
    assert str(caught.value).count(".") - str(caught.value).count(". ") == 1
