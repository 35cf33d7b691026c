"""What the native package refuses, and how an instruction set is chosen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_kernels import native
from fgvc_kernels.native import build, library

AVAILABLE, REASON = native.available()
if not AVAILABLE and os.environ.get("FGVC_REQUIRE_NATIVE") == "1":
    raise RuntimeError(REASON)
needs_library = pytest.mark.skipif(not AVAILABLE, reason=REASON)
ISAS = native.isas() if AVAILABLE else ()
KERNELS = str(Path(library.__file__).parents[2])
PRINT_ISA = "from fgvc_kernels import native; print(native.available()[1])"


def run_python(code: str, **environment: str) -> str:
    variables = {**os.environ, "PYTHONPATH": KERNELS, **environment}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_builder_and_loader_mean_the_same_file() -> None:
    assert build.LIBRARY == library.LIBRARY


def test_a_missing_library_is_one_sentence_with_a_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(native.NativeUnavailableError, match=r"python -m fgvc_kernels\.native\.build"):
        library._open(tmp_path / "libfgvc_native.so")


def test_a_file_that_is_no_library_is_explained(tmp_path: Path) -> None:
    broken = tmp_path / "libfgvc_native.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(native.NativeUnavailableError, match="cannot be loaded"):
        library._open(broken)


@needs_library
@pytest.mark.parametrize("isa", ISAS)
def test_the_variable_forces_an_instruction_set(isa: str) -> None:
    assert run_python(PRINT_ISA, FGVC_NATIVE_ISA=isa) == isa


@needs_library
def test_an_unknown_or_absent_instruction_set_is_named() -> None:
    said = run_python(PRINT_ISA, FGVC_NATIVE_ISA="sse9")
    assert said.startswith("FGVC_NATIVE_ISA=sse9 is set: No native kernels for 'sse9'; use one of ")
    assert said.endswith(f" one of {', '.join(ISAS)}, or unset the variable.")
    with pytest.raises(native.NativeUnavailableError, match="sse9"):
        native.screens("sse9")


@needs_library
def test_the_fastest_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FGVC_NATIVE_ISA", raising=False)
    assert native.isa() == ISAS[0]
    assert ISAS[-1] == "portable"


UNIT = np.full((12, 8), 8**-0.5, np.float32)


@needs_library
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": UNIT.astype(np.float64)}, "must be float32"),
        ({"query": UNIT[:11]}, "must be 12x"),
        ({"query": np.asfortranarray(UNIT)}, "C-contiguous"),
        ({"query": UNIT.tolist()}, "NumPy array"),
        ({"keys": [UNIT[:, :4]]}, r"keys\[0\]"),
        ({"keys": []}, "at least one key frame"),
        ({"hw": (0, 12)}, "height"),
        ({"hw": (1, 40_000)}, "width"),
        ({"topk": 33}, "topk"),
        ({"topk": 0}, "topk"),
        ({"threads": 0}, "threads"),
        ({"radius": 0.0}, "positive radius"),
        ({"radius": float("nan")}, "positive radius"),
        ({"window": "hexagon"}, "circle or square"),
        ({"active": np.ones(11, bool)}, "active"),
        ({"active": np.ones(12, np.uint8)}, "active"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "-".join(value),
)
def test_bad_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"query": UNIT, "keys": [UNIT], "hw": (3, 4), "radius": 2.0} | change
    with pytest.raises(native.NativeArgumentError, match=message):
        native.match(**arguments)


@needs_library
def test_channels_must_be_a_multiple_of_eight() -> None:
    odd = np.ones((12, 12), np.float32)
    with pytest.raises(native.NativeArgumentError, match="multiple of 8"):
        native.match(odd, [odd], (3, 4), radius=2.0)


@needs_library
def test_halves_must_belong_together() -> None:
    screening = next(isa for isa in ISAS if native.screens(isa))
    half, other = native.halve(UNIT, np.zeros(8, np.float32)), native.halve(UNIT, UNIT[0] / 2)
    for key_halves, message in (([], "one entry per key frame"), ([other], "same centre")):
        with pytest.raises(native.NativeArgumentError, match=message):
            native.match(UNIT, [UNIT], (3, 4), radius=2.0, halves=(half, key_halves), isa=screening)
    small = native.halve(UNIT[:6], half.centre)
    with pytest.raises(native.NativeArgumentError, match="size of the query frame"):
        native.match(UNIT, [UNIT], (3, 4), radius=2.0, halves=(half, [small]), isa=screening)
    for isa in set(ISAS) - {name for name in ISAS if native.screens(name)}:
        with pytest.raises(native.NativeArgumentError, match="no bf16 engine"):
            native.match(UNIT, [UNIT], (3, 4), radius=2.0, halves=(half, [half]), isa=isa)
