"""`fgvc-deploy bench accuracy`: every combination has a row, measured or with its reason; plot, table and page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiny_data
from fgvc_benchmarks.accuracy import matrix
from fgvc_benchmarks.accuracy.macs import encoder_gmac
from fgvc_benchmarks.accuracy.matrix import Case, Row, Score
from fgvc_benchmarks.accuracy.matrix_page import figure_text
from fgvc_benchmarks.accuracy.pareto import front, pareto_plot
from fgvc_deploy.cli.app import app
from fgvc_deploy.errors import BackendError, InputError
from fgvc_deploy.model import DEFAULT_BUNDLE
from toy_encoder import toy_onnx


def test_gmac_counts_convolutions(toy_bundle: Path, tmp_path: Path) -> None:
    assert encoder_gmac(toy_bundle / "encoder.onnx") == pytest.approx(24 * 3 * 81 * 64 * 64 / 1e9)
    (tmp_path / "two.onnx").write_bytes(toy_onnx())
    expected = (16 * 3 * 9 + 24 * 16 * 9) * 32 * 64 / 1e9
    assert encoder_gmac(tmp_path / "two.onnx", (128, 256)) == pytest.approx(expected)


def test_operations_after_resizing_count_too() -> None:
    """Their shapes are computed inside the graph: the head of the shipped encoder was once left out for that."""
    trunk, head = 0.32, 0.30
    found = encoder_gmac(DEFAULT_BUNDLE / "encoder.onnx")
    assert found == pytest.approx(trunk + head, abs=0.01), "docs/edge-encoder.md"


def test_front_keeps_what_nothing_beats() -> None:
    assert front([(3, 5), (1, 2), (2, 1), (2, 4), (3, 4)]) == [(1, 2), (2, 4), (3, 5)]
    assert front([(1, 2), (1, 3), (2, 3)]) == [(1, 3)]


def test_command_writes_rows_plot_and_page(toy_bundle: Path, tmp_path: Path) -> None:
    data, out, page = tmp_path / "data", tmp_path / "out", tmp_path / "docs" / "accuracy.md"
    tiny_data.write_badja(data, "camel", 4)
    tiny_data.write_badja(data, "dog", 4)
    tiny_data.write_planar(data / "planar_video", "poster", 4)
    page.parent.mkdir()
    page.write_text("# Accuracy\n\nkept above\n<!-- measured -->\nold\n<!-- /measured -->\nkept below\n")
    common = [
        "bench",
        "accuracy",
        "--root",
        str(data),
        "--model",
        str(toy_bundle),
        "--dataset",
        "badja",
        "--threads",
        "1",
    ]
    common += ["--dataset", "planar", "--propagation", "numpy", "--out", str(out), "--page", str(page)]
    result = CliRunner().invoke(app, common)
    assert result.exit_code == 0, result.output
    rows = json.loads((out / "accuracy.json").read_text())["rows"]
    assert [(row["backend"], row["compat"], row["status"]) for row in rows] == [
        (f"{encoder}+numpy", mode, "ok") for encoder in ("onnxruntime",) for mode in ("corrected", "reference")
    ]
    (badja, planar) = rows[0]["scores"]
    assert badja["low"] <= badja["average"] <= badja["high"]
    assert (planar["low"], planar["unit"]) == (None, "fraction")
    assert (out / "accuracy_pareto.svg").read_text().startswith("<?xml")
    text = page.read_text()
    assert text.startswith("# Accuracy\n\nkept above\n")
    assert text.endswith("kept below\n")
    assert "old" not in text.split()
    assert "| badja | camel |" in text
    assert (page.parent / "images" / "accuracy_pareto.svg").is_file()
    again = CliRunner().invoke(app, common)
    assert "recorded before" in again.stderr
    page.write_text("nothing to fill")
    bad = CliRunner().invoke(app, common)
    assert isinstance(bad.exception, InputError)


def test_a_backend_that_cannot_run_is_a_row_with_its_reason(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BackendError("no such chip here: rent one.")

    monkeypatch.setattr(matrix, "evaluate", refuse)
    (case,) = matrix.cases([toy_bundle], ["auto"], ["corrected"])
    assert isinstance(case, Case)
    row = matrix.run_case(case, tmp_path, ("badja",), tmp_path, 1, lambda text: None, lambda what, total: None)  # type: ignore[arg-type, return-value]
    assert (row.status, row.reason, row.scores) == ("unavailable", "no such chip here: rent one.", ())


def test_plot_of_one_sequence_has_no_interval() -> None:
    score = Score(
        dataset="planar", figure="f", unit="fraction", average=0.628, low=None, high=None, sequences={"a": 0.628},
        matcher="native",
        cpu_s=0.05, wall_s=0.06,
    )  # fmt: skip
    row = Row(
        model="m", weights="w", sha256="", precision="fp32", backend="b", compat="corrected", status="ok", gmac=None,
        megabytes=2.0, parity=(), scores=(score,),
    )  # fmt: skip
    assert figure_text(score) == "0.628"
    (axes,) = pareto_plot([row]).axes
    assert axes.get_title() == "planar f"
