"""`fgvc-deploy bench`: options reach the suites, exit codes, and the sentence for people without the extra."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench_records import configuration, failed, record
from fgvc_benchmarks import compare, kernels, latency, suite
from fgvc_benchmarks.cases import Case, Group
from fgvc_benchmarks.compare import Outcome
from fgvc_benchmarks.records import append, read
from fgvc_deploy.cli.bench import bench
from fgvc_deploy.errors import BackendError, InputError

GEOMETRY = {"name": "t", "height": 13, "width": 17, "channels": 24, "radius": 3.5, "frames": 3}
SMALL = Group(
    "small",
    (Case("t/numpy", "propagation", {"geometry": GEOMETRY, "points": 2, "backend": "numpy", "options": {}}),),
)


def invoke(*arguments: str, expected: int = 0) -> str:
    result = CliRunner().invoke(bench, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expected, result.output
    return result.output


def test_help_names_the_verbs_and_imports_nothing_heavy() -> None:
    assert all(verb in invoke("--help") for verb in ("latency", "kernels", "compare", "report"))
    code = "import sys; import fgvc_deploy.cli.bench; "
    code += "assert not {'torch', 'matplotlib', 'fgvc_benchmarks'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], check=True)


def test_kernels_measures_writes_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def groups(options: kernels.KernelOptions) -> list[Group]:
        asked.append(options)
        return [SMALL]

    monkeypatch.setattr(kernels, "kernel_groups", groups)
    arguments = ("kernels", "--quick", "--no-dense", "--threads", "1", "--rounds", "2", "--out", str(tmp_path))
    output = invoke(*arguments)
    assert asked == [kernels.KernelOptions(quick=True, dense=False)]
    assert "t/numpy: " in output
    (written,) = read(tmp_path / "kernels.jsonl")
    assert (written.status, written.configuration.threads, written.configuration.rounds) == ("ok", 1, 2)
    assert "t/numpy" in (tmp_path / "report.md").read_text()
    assert "skipped" in invoke(*arguments)
    assert len(read(tmp_path / "kernels.jsonl")) == 1
    invoke(*arguments, "--fresh", "--quiet")
    assert len(read(tmp_path / "kernels.jsonl")) == 2


def test_latency_takes_the_bundle_and_a_failed_case_sets_the_exit_code(
    tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def groups(options: latency.LatencyOptions) -> list[Group]:
        asked.append(options)
        return [SMALL]

    def run_suite(*arguments: Any, **options: Any) -> Any:
        records = [failed("points=1"), record("points=5", 0.3)]
        append(arguments[2], records)
        return records

    monkeypatch.setattr(latency, "latency_groups", groups)
    monkeypatch.setattr(suite, "run_suite", run_suite)
    invoke("latency", "--model", str(toy_bundle), "--backend", "numpy", "--out", str(tmp_path), expected=1)
    assert asked == [latency.LatencyOptions(str(toy_bundle.resolve()), "numpy")]
    assert "failed: tracks" in (tmp_path / "report.md").read_text()


def test_blas_overrides_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setattr(kernels, "kernel_groups", lambda options: [SMALL])
    output = invoke("kernels", "--no-dense", "--rounds", "1", "--threads", "1", "--out", str(tmp_path))
    assert "OPENBLAS_CORETYPE would change" in output
    (written,) = read(tmp_path / "kernels.jsonl")
    assert written.configuration.removed_environment == ("OPENBLAS_CORETYPE",)


def test_report_of_a_folder(tmp_path: Path) -> None:
    append(tmp_path / "kernels.jsonl", [record("a/b", 0.5, configuration=configuration())])
    invoke("report", str(tmp_path))
    assert "| a/b |" in (tmp_path / "report.md").read_text()
    with pytest.raises(InputError, match="holds no benchmark records"):
        invoke("report", str(tmp_path / "nothing"))


@pytest.mark.parametrize(("verdict", "expected"), [("same", 0), ("slower", 1), ("broken", 1)])
def test_compare_prints_outcomes_and_sets_the_exit_code(
    verdict: Any, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = Outcome(case="kernel", verdict=verdict, reason="why")
    monkeypatch.setattr(compare, "compare", lambda *arguments, **options: iter([outcome]))
    assert f"kernel: {verdict}" in invoke("compare", "main", "--no-steps", expected=expected)
    found = json.loads(invoke("compare", "main", "--no-steps", "--json", expected=expected))
    assert found["outcomes"][0]["verdict"] == verdict


@pytest.mark.parametrize("arguments", [("latency",), ("kernels",), ("report",)])
def test_without_the_extra_one_sentence_says_what_to_install(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name))
    with pytest.raises(BackendError, match=r"matplotlib.*pip install 'fgvc-deploy\[bench\]'"):
        invoke(*arguments)
