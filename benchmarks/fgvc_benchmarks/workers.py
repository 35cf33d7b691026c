"""The measuring side's handle of a worker process: start it, ask it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from fgvc_benchmarks.subjects.base import Params
from fgvc_benchmarks.timing import Sample
from fgvc_deploy.errors import FgvcError


class Unavailable(FgvcError):
    """A case cannot run here; the text says why."""


class WorkerFault(FgvcError):
    """A worker died or raised something unexpected; the text carries its traceback or last words."""


class Worker:
    """One case in a process of its own.  A context manager: leaving it ends the process.

    `search_path` comes before everything else on the worker's sys.path.
    """

    def __init__(
        self,
        subject: str,
        params: Params,
        threads: int,
        environment: Mapping[str, str],
        search_path: Sequence[Path] = (),
    ) -> None:
        path = [str(folder) for folder in search_path] or [entry for entry in sys.path if entry]
        self._last_words = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fgvc_benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._last_words,
            text=True,
            encoding="utf-8",
            env={**environment, "PYTHONPATH": os.pathsep.join(path)},
        )
        self._hello = {"subject": subject, "params": dict(params), "threads": threads}

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
        self._last_words.close()

    def start(self) -> None:
        """Build the subject.  Raises Unavailable when it cannot run here, WorkerFault when it breaks."""
        self._ask(self._hello)

    def check(self) -> dict[str, Any]:
        """{"parity": [figures], "failed": why, empty when all passed}."""
        return self._ask({"do": "check"})

    def warm(self, runs: int) -> dict[str, Any]:
        """{"facts": ..., "repeats": executions in a sample, "own_peak": whether the memory peak starts now}."""
        return self._ask({"do": "warm", "runs": runs})

    def run(self) -> tuple[Sample, int]:
        """One sample, and the process's peak memory in bytes so far."""
        answer = self._ask({"do": "run"})
        return Sample(**answer["sample"]), int(answer["peak_memory_bytes"])

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerFault(
                f"a benchmark process ended unexpectedly (exit code {self._process.wait()}): {self._tail()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        if "error" in answer:
            raise WorkerFault(answer["error"].strip())
        return answer

    def _tail(self) -> str:
        self._last_words.seek(0)
        return self._last_words.read()[-2000:].strip() or "it said nothing"
