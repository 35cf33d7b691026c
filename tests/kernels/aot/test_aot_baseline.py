"""Every kernel against its checked-in baseline: the most important one on all chips, the others on three."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fgvc_kernels.aot.__main__ import main
from fgvc_kernels.aot.baseline import REWRITE, load_baseline, parse_baseline, save_baseline
from fgvc_kernels.aot.build import Compiled
from fgvc_kernels.aot.catalogue import SETTINGS, catalogue
from fgvc_kernels.aot.chips import CHIPS
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.figures import figures
from fgvc_kernels.aot.gates import faults
from fgvc_kernels.aot.versions import require_same_tools, tool_versions

BuiltKernel = Callable[[str, str], Compiled]
MAIN = "local_topk.resnet18_d1"
# One of each assembler, with HMMA and with UTCHMMA; `python -m fgvc_kernels.aot check` compares everything.
SOME_CHIPS = ("sm_87", "sm_110")
BASELINE = load_baseline()
MOST_BYTES = 5_000_000
CASES = [(MAIN, chip) for chip in CHIPS] + [(n, chip) for n in BASELINE.figures if n != MAIN for chip in SOME_CHIPS]


def test_the_baseline_was_written_with_the_compilers_here() -> None:
    require_same_tools(BASELINE)


def test_the_baseline_covers_every_kernel_on_every_chip() -> None:
    known = catalogue()
    assert {name: list(rows) for name, rows in BASELINE.figures.items()} == {name: list(CHIPS) for name in known}
    assert BASELINE.constexprs == {name: build.constexprs for name, build in known.items()}


@pytest.mark.parametrize("name", BASELINE.figures)
def test_nothing_in_the_baseline_breaks_a_gate_by_itself(name: str) -> None:
    for chip, row in BASELINE.figures[name].items():
        assert faults(row, CHIPS[chip]) == [], chip


@pytest.mark.parametrize("encoder", SETTINGS)
def test_the_kernels_of_a_bundle_stay_small(encoder: str) -> None:
    names = {name.partition(".")[0] for name in BASELINE.figures}
    rows = [BASELINE.figures.get(f"{name}.{encoder}") or BASELINE.figures[f"{name}.resnet18_d1"] for name in names]
    assert sum(row.cubin_bytes for kernel in rows for row in kernel.values()) < MOST_BYTES


@pytest.mark.parametrize(("name", "chip"), CASES)
def test_a_build_keeps_its_gates(built: BuiltKernel, name: str, chip: str) -> None:
    found = faults(figures(built(name, chip)), CHIPS[chip], BASELINE.of(name, chip))
    assert found == [], f"if that is meant: {REWRITE}"


def test_tensor_cores_of_the_chip_are_used() -> None:
    for chip, row in BASELINE.figures[MAIN].items():
        assert row.tensor > 0, chip
        assert row.wide_reads > 0, chip
        assert row.async_copies == row.async_copies_128 > 0, chip


def test_the_file_survives_a_round_trip(tmp_path: Path) -> None:
    path = save_baseline(BASELINE, tmp_path / "baseline.json")
    assert parse_baseline(path.read_text(encoding="utf-8")) == BASELINE


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1}', '{"schema_version": 1, "figures": {"a": 1}}'])
def test_a_damaged_baseline_is_named(text: str) -> None:
    with pytest.raises(AotError, match=f"damaged .* `{REWRITE}`"):
        parse_baseline(text)


def test_other_compilers_are_refused() -> None:
    other = parse_baseline('{"schema_version": 1, "versions": {"triton": "3.8.0"}, "constexprs": {}, "figures": {}}')
    with pytest.raises(AotError, match=f"written with triton 3.8.0, here are triton {tool_versions()['triton']}"):
        require_same_tools(other)


def test_the_command_checks_one_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--kernel", "propagate.resnet18_d1", "--chip", "sm_87"]) == 0
    assert "0 gates broken" in capsys.readouterr().out
    assert main(["check", "--kernel", "nothing"]) == 2
    assert "no kernel 'nothing'; choose from: normalise.resnet18_d1" in capsys.readouterr().err
