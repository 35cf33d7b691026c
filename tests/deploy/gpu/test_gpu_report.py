"""The one command for people with a GPU: what it runs exists, what fails is in the report, no GPU is a sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from fgvc_benchmarks import gpu_report
from fgvc_benchmarks.gpu_report import Stage, collected, run, stages
from fgvc_deploy.cli.app import app
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu import probe
from gpu_handles import ORIN


def test_every_option_of_the_benchmarks_exists(tmp_path: Path) -> None:
    root: Any = typer.main.get_command(app)
    latency = root.commands["bench"].commands["latency"]
    known = {name for parameter in latency.params for name in (*parameter.opts, *parameter.secondary_opts)}
    bench = [stage for stage in stages(tmp_path, tmp_path, quick=True) if stage.name.startswith("bench ")]
    assert [stage.name for stage in bench] == ["bench gpu", "bench onnxruntime+gpu", "bench onnxruntime+native"]
    for stage in bench:
        assert {word for word in stage.arguments if word.startswith("--")} <= known


def test_a_failing_or_endless_command_is_reported() -> None:
    failed = run(Stage("x", ["-c", "import sys; print('so'); sys.exit(3)"], {}, 60))
    assert (failed["exit_code"], failed["output"]) == (3, "so\n")
    endless = run(Stage("x", ["-c", "import time; time.sleep(60)"], {}, 0.5))
    assert endless["exit_code"] is None
    assert "longer than" in endless["output"]


def test_the_report_holds_what_the_stages_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "device", lambda: ORIN)

    def one_stage(bundle: Path | None, folder: Path, *, quick: bool) -> list[Stage]:
        return [Stage("x", ["-c", f"open({str(folder / 'a.json')!r}, 'w').write('[1, 2]')"], {}, 60)]

    monkeypatch.setattr(gpu_report, "stages", one_stage)
    out = tmp_path / "report.json"
    monkeypatch.setattr(sys, "argv", ["gpu_report", "--out", str(out)])
    assert gpu_report.main() == 0
    made = json.loads(out.read_text(encoding="utf-8"))
    assert made["device"]["name"] == ORIN.name
    assert made["files"] == {"a.json": [1, 2]}


def test_unreadable_results_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    assert collected(tmp_path) == {"a.json": "not readable"}


def test_no_gpu_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def none() -> None:
        raise BackendError("No GPU.")

    monkeypatch.setattr(probe, "device", none)
    monkeypatch.setattr(sys, "argv", ["gpu_report", "--out", str(tmp_path / "report.json")])
    assert gpu_report.main() == 2
    assert capsys.readouterr().err == "gpu_report: No GPU.\n"
    assert not (tmp_path / "report.json").exists()
