"""`make test-gpu`: everything that needs a GPU, run by one command, into one file to send back.

    python -m fgvc_benchmarks.gpu_report [BUNDLE] [--out gpu-report.json] [--quick]

Tests marked `gpu`, the parity suite, `bench latency` with the GPU beside the CPU, `doctor` and `nvidia-smi`.  It only
runs commands and collects what they say; a command that fails is in the report like the others.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from fgvc_deploy.bundle import open_bundle
from fgvc_deploy.errors import FgvcError
from fgvc_deploy.gpu import probe
from fgvc_deploy.results.run_json import machine, versions

ROOT = Path(__file__).resolve().parents[2]
# Of each command's output, what a reader of the report needs: failures and summaries are at the end.
KEPT_CHARACTERS = 20_000
CLI = ["-c", "from fgvc_deploy.cli import main; main()"]


class Stage(NamedTuple):
    """One command: Python's arguments, what it is given in the environment, and seconds it may take."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    seconds: float


def stages(bundle: Path | None, folder: Path, *, quick: bool) -> list[Stage]:
    """What is run, in order; results that commands write go into `folder`."""
    given = {"FGVC_GPU_BUNDLE": str(bundle)} if bundle else {}
    model = ["--model", str(bundle)] if bundle else []
    short = ["--quick"] if quick else []
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    parity = {"FGVC_PARITY_OUT": str(folder / "parity.json")}
    return [
        Stage("doctor", [*CLI, "doctor", *([str(bundle)] if bundle else []), "--json"], {}, 300),
        Stage("gpu tests", [*pytest, "-m", "gpu", "tests/deploy/gpu"], given, 1800),
        Stage("tests of the GPU run time", [*pytest, "tests/deploy/gpu"], given, 1800),
        Stage("parity", [*pytest, "-m", "parity"], parity, 3600),
        *(_bench(name, [*model, *short], folder) for name in ("gpu", "onnxruntime+gpu", "onnxruntime+native")),
    ]


def _bench(backend: str, options: list[str], folder: Path) -> Stage:
    out = str(folder / "bench" / backend)
    arguments = ["bench", "latency", "--backend", backend, "--no-dense", "--out", out, *options]
    return Stage(f"bench {backend}", [*CLI, *arguments], {}, 3600)


def run(stage: Stage) -> dict[str, Any]:
    """The stage's exit code, seconds and the end of what it said; None as code when it took too long."""
    began = time.monotonic()
    environment = os.environ | stage.environment | {"FGVC_REQUIRE_GPU": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *stage.arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=stage.seconds,
            check=False,
        )
        code, said = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        code, said = None, f"took longer than {stage.seconds:.0f} s"
    return {
        "command": ["python", *stage.arguments],
        "exit_code": code,
        "seconds": round(time.monotonic() - began, 1),
        "output": said[-KEPT_CHARACTERS:],
    }


def collected(folder: Path) -> dict[str, Any]:
    """Every JSON file that the stages wrote, by its path in the folder."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            found[str(path.relative_to(folder))] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found[str(path.relative_to(folder))] = "not readable"
    return found


def nvidia_smi() -> str | None:
    """What the tool says about the GPU, its clocks and driver; None where it is not installed (Jetson)."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    done = subprocess.run([tool, "-q"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout[:KEPT_CHARACTERS]


def report(bundle: Path | None, *, quick: bool) -> dict[str, Any]:
    """The whole report; raises BackendError when there is no GPU to report on."""
    device = probe.device()
    if bundle is not None:
        open_bundle(bundle)
    results = {}
    with tempfile.TemporaryDirectory(prefix="fgvc-gpu-report-") as name:
        for stage in stages(bundle, Path(name), quick=quick):
            print(f"{stage.name} ...", file=sys.stderr, flush=True)
            results[stage.name] = run(stage)
            print(f"{stage.name}: exit code {results[stage.name]['exit_code']}", file=sys.stderr, flush=True)
        files = collected(Path(name))
    return {
        "schema_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device._asdict(),
        "machine": machine().model_dump(),
        "versions": versions(),
        "nvidia_smi": nvidia_smi(),
        "stages": results,
        "files": files,
    }


def main() -> int:
    """Exit code 0 when every stage succeeded, 1 when one did not, 2 when there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("bundle", nargs="?", type=Path, help="bundle with kernels for this chip; default: made here")
    parser.add_argument("--out", type=Path, default=Path("gpu-report.json"), help="the file to write")
    parser.add_argument("--quick", action="store_true", help="shorter benchmarks")
    arguments = parser.parse_args()
    try:
        made = report(arguments.bundle and arguments.bundle.resolve(), quick=arguments.quick)
    except FgvcError as error:
        print(f"gpu_report: {error}", file=sys.stderr)
        return 2
    arguments.out.write_text(json.dumps(made, indent=1), encoding="utf-8")
    print(f"wrote {arguments.out}: send it back", file=sys.stderr)
    return 0 if all(stage["exit_code"] == 0 for stage in made["stages"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
