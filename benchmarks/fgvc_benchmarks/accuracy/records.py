"""Records of evaluated clips: one line of a JSONL file each, with everything that must be equal to use it again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fgvc_benchmarks.accuracy.base import EvalOptions, Scores
from fgvc_benchmarks.accuracy.running import Cost
from fgvc_benchmarks.provenance import ModelFacts
from fgvc_benchmarks.records import drop_cut_off_line
from fgvc_deploy.errors import InputError
from fgvc_deploy.results.run_json import Machine
from fgvc_deploy.settings import FrozenModel, PropagationSettings


class EvalConfiguration(FrozenModel):
    """Everything a clip's figures depend on, beside the clip.

    `network_size` is what was asked of the encoder, `propagation` the settings after every change; `encoder` and
    `matcher` are the backends that ran.  `sources_sha256` covers the code that a figure can depend on.
    """

    dataset: str
    options: EvalOptions
    network_size: str
    propagation: PropagationSettings
    encoder: str
    matcher: str
    model: ModelFacts
    machine: Machine
    versions: dict[str, str]
    sources_sha256: str


class EvalRecord(FrozenModel):
    """One clip.  `fingerprint` is that of its files and truth."""

    schema_version: Literal[1] = 1
    configuration: EvalConfiguration
    commit: str
    started: str
    clip: str
    fingerprint: str
    scores: Scores
    cost: Cost


def append(path: Path, record: EvalRecord) -> None:
    """Append one line; the file and its folder are made when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drop_cut_off_line(path)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(record.model_dump_json() + "\n")


def read(path: Path) -> list[EvalRecord]:
    """All records of a file, oldest first; an absent file holds none, a last line cut off by a crash is left out.

    Raises InputError when another line is not a record.
    """
    if not path.exists():
        return []
    records = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            records.append(EvalRecord.model_validate_json(line))
        except ValidationError as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            fault = error.errors(include_url=False)[0]["msg"]
            raise InputError(
                f"{path}, line {number}: not an evaluation record ({fault}); move the file away."
            ) from None
    return records


def find(
    records: Iterable[EvalRecord],
    configuration: EvalConfiguration,
    clip: str,
    fingerprint: str,
    *,
    any_code: bool = False,
) -> EvalRecord | None:
    """The newest record of this very clip under this very configuration, if there is one.

    With `any_code` it may have been made by other code: for studies that take longer than a commit lasts, whose
    records name theirs.
    """
    wanted = (_matched(configuration, any_code), clip, fingerprint)
    same = [r for r in records if (_matched(r.configuration, any_code), r.clip, r.fingerprint) == wanted]
    return same[-1] if same else None


def _matched(configuration: EvalConfiguration, any_code: bool) -> EvalConfiguration:
    return configuration.model_copy(update={"sources_sha256": ""}) if any_code else configuration
