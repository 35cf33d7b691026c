"""The measured side: a process that holds one subject and does what it is told, one JSON line at a time.

Every case has a process of its own, so that its memory and its threads are its own; `workers.py` is the other side.
The first line names the subject: {"subject": ..., "params": ..., "threads": ...}.  Then follow {"do": "check"},
{"do": "warm", "runs": n} and {"do": "run"}; each line is answered by one line.  End of input ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from fgvc_benchmarks.subjects.base import Subject
from fgvc_benchmarks.subjects.table import create
from fgvc_benchmarks.timing import Sample, mean_sample, settle
from fgvc_deploy.errors import BackendError, BundleError, ParityError
from fgvc_deploy.results.run_json import peak_memory_bytes

# A sample shorter than this would mostly measure the clock, the scheduler and cold caches.
SHORTEST_SAMPLE_S = 0.2
MOST_REPEATS = 200


class Server:
    """Answers requests about one subject."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._repeats = 1

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do one request; a failed parity check is an answer, any other exception is the caller's business."""
        if request["do"] == "check":
            return self._check()
        if request["do"] == "warm":
            return self._warm(request["runs"])
        sample = mean_sample([self._subject.run() for _ in range(self._repeats)])
        settle()
        return {"sample": asdict(sample), "peak_memory_bytes": peak_memory_bytes()}

    def _check(self) -> dict[str, Any]:
        try:
            figures = self._subject.check()
        except ParityError as error:
            return {"parity": [], "failed": str(error)}
        wrong = [f"{f.figure}: {f.value:.3g} {f.unit} is over {f.budget:.3g}" for f in figures if not f.passed]
        return {"parity": [figure.model_dump(mode="json") for figure in figures], "failed": "; ".join(wrong)}

    def _warm(self, runs: int) -> dict[str, Any]:
        """Run untimed, choose how many executions make a sample, and forget the memory peak of check and set-up."""
        samples: list[Sample] = [self._subject.run() for _ in range(runs)]
        if samples:
            fastest = max(1e-6, min(sample.wall_s for sample in samples))
            self._repeats = max(1, min(MOST_REPEATS, round(SHORTEST_SAMPLE_S / fastest)))
        settle()
        return {"facts": self._subject.facts, "repeats": self._repeats, "own_peak": _forget_memory_peak()}


def _forget_memory_peak() -> bool:
    """Start the kernel's peak of resident memory anew; False where that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def main() -> None:
    """Serve until the input ends."""
    channel = _take_stdout()
    try:
        hello = json.loads(sys.stdin.readline())
        server = Server(create(hello["subject"], hello["params"], hello["threads"]))
        _send(channel, {"ready": True})
        for line in sys.stdin:
            _send(channel, server.answer(json.loads(line)))
    except (BackendError, BundleError) as error:
        _send(channel, {"unavailable": str(error)})
    except Exception:
        _send(channel, {"error": traceback.format_exc(limit=-6)})


def _take_stdout() -> IO[str]:
    """A private copy of standard output; what libraries print there goes to standard error instead."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _send(channel: IO[str], answer: dict[str, Any]) -> None:
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
