"""Benchmark records: what one line of a JSONL file says, appending lines, and finding what is already measured.

A record of a case whose parity check failed carries no timing, so no speed can be printed for it by mistake.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from fgvc_benchmarks.provenance import Configuration
from fgvc_benchmarks.timing import Interval, Sample
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import FrozenModel

Status = Literal["ok", "failed", "unavailable"]


class Seconds(FrozenModel):
    """Median of the samples, and the samples in the order they were taken."""

    median: float
    samples: tuple[float, ...] = Field(min_length=1)


class Measurement(FrozenModel):
    """Seconds for one execution (one frame), and the peak resident memory of the process while it ran."""

    wall_s: Seconds
    cpu_s: Seconds
    stages_s: dict[str, Seconds]
    repeats: int
    peak_memory_bytes: int


class Ratio(FrozenModel):
    """A ratio to another case of the same run, with its 95 % bootstrap interval."""

    to: str
    value: float
    low: float
    high: float


class Record(FrozenModel):
    """One case.  `run` is common to the cases that were measured interleaved; only those are ever compared.

    `other_cores` were used by other processes meanwhile, None where that is unknown.
    `params` say what was measured, `facts` what was found while doing so (backend, operations, BLAS kernel).
    `reason` says why a case is not `ok`.
    """

    schema_version: Literal[1] = 1
    configuration: Configuration
    group: str
    run: str
    started: str
    other_cores: float | None
    case: str
    params: dict[str, JsonValue]
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    status: Status
    reason: str = ""
    parity: tuple[ParityFigure, ...] = ()
    measurement: Measurement | None = None
    ratios: dict[str, Ratio] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _only_what_is_right_has_a_speed(self) -> Self:
        if (self.status == "ok") != (self.measurement is not None):
            raise ValueError(f"case {self.case}: a case has a measurement exactly when its status is ok")
        if self.status == "ok" and not (self.parity and all(figure.passed for figure in self.parity)):
            raise ValueError(f"case {self.case}: measured without a parity check that passed")
        if self.status != "ok" and (self.ratios or not self.reason):
            raise ValueError(f"case {self.case}: not ok, so it needs a reason and has no ratios")
        return self


def measurement(samples: Sequence[Sample], repeats: int, peak_memory_bytes: int) -> Measurement:
    """Sum up the samples of one case."""
    return Measurement(
        wall_s=_seconds([s.wall_s for s in samples]),
        cpu_s=_seconds([s.cpu_s for s in samples]),
        stages_s={name: _seconds([s.stages.get(name, 0.0) for s in samples]) for name in samples[0].stages},
        repeats=repeats,
        peak_memory_bytes=peak_memory_bytes,
    )


def _seconds(values: Sequence[float]) -> Seconds:
    return Seconds(median=statistics.median(values), samples=tuple(values))


def ratio(to: str, interval: Interval) -> Ratio:
    """A Ratio from an Interval."""
    return Ratio(to=to, value=interval.value, low=interval.low, high=interval.high)


def append(path: Path, records: Iterable[Record]) -> None:
    """Append records to a JSONL file, one line each; the file and its folder are made when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(_line(record) for record in records)
    drop_cut_off_line(path)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def drop_cut_off_line(path: Path) -> None:
    """Remove what follows the last line end: the rest of a line that a crash interrupted."""
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _line(record: Record) -> str:
    # Seven digits: a clock is not better, and the files stay readable.
    plain = json.loads(record.model_dump_json(), parse_float=lambda text: float(f"{float(text):.7g}"))
    return json.dumps(plain) + "\n"


def read(path: Path) -> list[Record]:
    """All records of a file, oldest first; an absent file holds none.

    A last line that was cut off by a crash is left out.  Raises InputError when another line is not a record.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(Record.model_validate_json(line))
        except ValidationError as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            fault = error.errors(include_url=False)[0]["msg"]
            raise InputError(
                f"{path}, line {number}: not a benchmark record ({fault}); move the file away."
            ) from None
    return records


def is_complete(
    records: Iterable[Record],
    configuration: Configuration,
    group: str,
    cases: Mapping[str, Mapping[str, JsonValue]],
) -> bool:
    """Whether one run of this very configuration holds a record, with these parameters, of every case.

    A case that cannot run here counts as done, as the configuration would tell if that changed; a failed one not.
    """
    runs: dict[str, set[str]] = {}
    for record in records:
        same = record.configuration == configuration and record.group == group and record.status != "failed"
        if same and dict(record.params) == dict(cases.get(record.case, {"absent": True})):
            runs.setdefault(record.run, set()).add(record.case)
    return any(found >= set(cases) for found in runs.values())


def newest(records: Sequence[Record]) -> list[Record]:
    """The records of the newest configuration; of each group its newest run."""
    if not records:
        return []
    last = max(records, key=lambda record: record.started).configuration
    same = [record for record in records if record.configuration == last]
    newest_run = {record.group: record.run for record in sorted(same, key=lambda record: record.started)}
    return [record for record in same if record.run == newest_run[record.group]]
