"""Write docs/parity.md: run every parity test and tabulate how far each case is from the reference.

    python -m fgvc_benchmarks.parity

The figures come from the tests themselves (the `parity` fixture), so the page cannot say what no test showed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]

GROUPS = {
    "a": "preprocessing (resize, Lab, normalise)",
    "b": "encoder (ResNet-18 d1)",
    "c": "attention: windows, top-k, temperature, coarse-to-fine",
    "d": "window masks",
    "e": "Gaussian labels and top-5 read-out",
    "f": "point tracking end to end (forward_test)",
    "g": "masks and joints end to end",
    "h": "training losses and gradients",
    "i": "metrics",
}


def main() -> int:
    """Run the parity tests, write the page; returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "parity.json"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "parity", str(ROOT / "tests")]
        environment = os.environ | {"FGVC_REQUIRE_GOLDENS": "1", "FGVC_PARITY_OUT": str(ledger)}
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        rows: list[Row] = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else []
    if code != 0 or not rows:
        print("parity tests failed: docs/parity.md was left as it was", file=sys.stderr)
        return code or 1
    (ROOT / "docs" / "parity.md").write_text(render(rows), encoding="utf-8")
    print(f"docs/parity.md: {len(rows)} comparisons")
    return 0


def render(rows: list[Row]) -> str:
    """The page: one summary table, then every case."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    lines = [
        "# Parity with the reference",
        "",
        "How far this project is from the outputs of the official FGVC code, case by case. Written by `make parity`",
        "from the parity tests; do not edit. The reference's weights are random here (no trained checkpoint could",
        "be had), so this shows equal arithmetic, not tracking quality. A budget is the tolerance the test fails",
        "at; its reason stands in the test.",
        "",
        f"Measured with Python {platform.python_version()}, NumPy {version('numpy')}, torch {version('torch')}, "
        f"ONNX Runtime {version('onnxruntime')} on {platform.machine()}.",
        "",
        "| golden | what | cases | nearest to its budget | difference | budget |",
        "|---|---|---:|---|---:|---:|",
    ]
    for group in sorted(groups):
        worst = max(groups[group], key=_share)
        figures = f"{worst['case']} | {_figure(worst, 'value')} | {_figure(worst, 'budget')}"
        lines.append(f"| {group} | {GROUPS.get(group, '')} | {len(groups[group])} | {figures} |")
    for group in sorted(groups):
        lines += ["", f"## {group}: {GROUPS.get(group, '')}", "", "| case | difference | budget | unit | note |"]
        lines.append("|---|---:|---:|---|---|")
        lines += [
            f"| {r['case']} | {r['value']:.3g} | {r['budget']:.3g} | {r['unit']} | {r['note']} |"
            for r in sorted(groups[group], key=lambda r: str(r["case"]))
        ]
    return "\n".join(lines) + "\n"


def _share(row: Row) -> float:
    if row["budget"]:
        return float(row["value"] / row["budget"])
    return 0.0 if row["value"] == 0 else float("inf")


def _figure(row: Row, key: str) -> str:
    return f"{row[key]:.3g} {row['unit']}"


if __name__ == "__main__":
    raise SystemExit(main())
