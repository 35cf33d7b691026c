"""Records: one line each, no speed without a passed check, resume only for the very same configuration."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench_records import PASSED, configuration, failed, ratio, record
from fgvc_benchmarks import provenance
from fgvc_benchmarks.records import Record, append, is_complete, newest, read
from fgvc_benchmarks.subjects.base import at_most
from fgvc_deploy.errors import InputError, ParityError

CASES = {"a": {"subject": "tracker"}, "b": {"subject": "tracker"}}


def test_append_then_read_gives_the_records_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.jsonl"
    first, second = record("a", 0.5, ratios={"speedup": ratio(3.0)}), failed("b")
    append(path, [first])
    append(path, [second])
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["measurement"]["wall_s"] == {"median": 0.5, "samples": [0.45, 0.5, 0.6]}
    stored = read(path)
    assert [r.case for r in stored] == ["a", "b"]
    assert stored[1] == second
    assert stored[0].ratios["speedup"].low == pytest.approx(first.ratios["speedup"].low, rel=1e-6)
    append(tmp_path / "copy.jsonl", stored)
    assert (tmp_path / "copy.jsonl").read_text() == path.read_text()
    assert read(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed", "reason": "wrong"},
        {"status": "unavailable", "reason": "no such thing"},
        {"measurement": None},
        {"parity": ()},
        {"parity": (PASSED, at_most("tracks", 2.0, 1.0, "px"))},
    ],
    ids=["failed", "unavailable", "no measurement", "no check", "a failed figure"],
)
def test_a_speed_needs_a_passed_check(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record("a", 0.5, **changes)


def test_a_nan_figure_does_not_pass() -> None:
    with pytest.raises(ParityError, match="nan"):
        at_most("tracks", math.nan, 1.0, "px")


def test_a_failed_case_needs_a_reason_and_has_no_ratio() -> None:
    with pytest.raises(ValidationError):
        failed("a", reason="")
    with pytest.raises(ValidationError):
        failed("a", ratios={"speedup": ratio(3.0)})


def test_a_line_cut_off_by_a_crash_is_left_out_but_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    append(path, [record("a", 0.5), record("b", 0.5)])
    whole = path.read_text()
    path.write_text(whole[:-40])
    assert [r.case for r in read(path)] == ["a"]
    path.write_text("{}\n" + whole)
    with pytest.raises(InputError, match=r"x\.jsonl, line 1"):
        read(path)


def test_appending_after_a_cut_off_line_keeps_both_readable(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    append(path, [record("a", 0.5), record("b", 0.5)])
    path.write_text(path.read_text()[:-40])
    append(path, [record("c", 0.5)])
    assert [r.case for r in read(path)] == ["a", "c"]


def test_complete_when_one_run_holds_every_case() -> None:
    mine = configuration()
    whole = [record("a", 0.5), record("b", 0.5)]
    assert is_complete(whole, mine, "g", CASES)
    assert not is_complete(whole[:1], mine, "g", CASES)
    assert not is_complete([whole[0], record("b", 0.5, run="r2")], mine, "g", CASES)
    assert not is_complete([whole[0], failed("b")], mine, "g", CASES)
    assert not is_complete(whole, mine, "another", CASES)
    assert not is_complete(whole, mine, "g", CASES | {"b": {"subject": "tracker", "points": 5}})


def test_a_case_that_cannot_run_here_counts_as_done() -> None:
    absent = record("b", 1.0, status="unavailable", reason="no MNN", measurement=None, parity=())
    assert is_complete([record("a", 0.5), absent], configuration(), "g", CASES)


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 1},
        {"rounds": 9},
        {"versions": {"python": "3.12.0"}},
        {"model": None},
        {"isa": ("avx2", "avx512f")},
        {"removed_environment": ("OPENBLAS_CORETYPE",)},
        {"commit": provenance.Commit(sha="a" * 40, dirty=True, sources_sha256="b" * 64)},
        {"commit": provenance.Commit(sha="a" * 40, dirty=False, sources_sha256="d" * 64)},
        {"suite": "latency"},
    ],
    ids=str,
)
def test_another_configuration_is_not_resumed(change: dict[str, Any]) -> None:
    assert not is_complete([record("a", 0.5), record("b", 0.5)], configuration(**change), "g", CASES)


def test_newest_never_mixes_configurations_or_runs() -> None:
    old = record("a", 9.0, configuration=configuration(threads=1), started="2025-01-01T00:00:00+00:00")
    first = record("a", 1.0)
    again = record("a", 2.0, run="r2", started="2026-01-02T00:00:00+00:00")
    other_group = record("c", 3.0, group="h", run="r0", started="2025-12-01T00:00:00+00:00")
    assert newest([old, first, other_group, again]) == [other_group, again]
    assert newest([]) == []


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_commit_knows_dirty_trees_apart(tmp_path: Path) -> None:
    source = tmp_path / "fgvc_deploy" / "a.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    without_git = provenance.commit(tmp_path)
    assert without_git.sha == ""
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = provenance.commit(tmp_path)
    assert len(clean.sha) == 40
    assert not clean.dirty
    source.write_text("x = 2\n")
    one_change = provenance.commit(tmp_path)
    source.write_text("x = 3\n")
    another = provenance.commit(tmp_path)
    assert one_change.dirty
    assert len({clean.sources_sha256, one_change.sources_sha256, another.sources_sha256}) == 3
    source.write_text("x = 1\n")
    results = tmp_path / "benchmarks" / "results" / "kernels.jsonl"
    results.parent.mkdir(parents=True)
    results.write_text("{}\n")
    assert provenance.commit(tmp_path) == clean


def test_an_environment_inside_another_repository_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("x")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "someone else's")
    installed = tmp_path / "venv" / "lib"
    installed.mkdir(parents=True)
    assert provenance.commit(installed).sha == ""


def test_this_machine_is_described() -> None:
    described = provenance.configuration("kernels", threads=2, rounds=3, bundle=None, removed_environment=["B", "A"])
    assert described.versions["numpy"]
    assert described.machine.cpu
    assert described.removed_environment == ("A", "B")
    assert Record.model_validate_json(record("a", 0.5, configuration=described).model_dump_json())
