"""`bench compare`: the verdict's arithmetic, and a real comparison of two commits of a small repository."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fgvc_benchmarks.cases import Case
from fgvc_benchmarks.compare import CONTROL, Outcome, compare, compared_cases, exit_code, judge, line
from fgvc_benchmarks.provenance import ROOT
from fgvc_benchmarks.timing import Interval
from fgvc_benchmarks.worktree import Side, build_native, commit_of
from fgvc_deploy.errors import BackendError, InputError

GEOMETRY = {"name": "t", "height": 13, "width": 17, "channels": 24, "radius": 3.5, "frames": 3}
CASE = Case("numpy", "propagation", {"geometry": GEOMETRY, "points": 2, "backend": "numpy", "options": {}})


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((1.20, 1.10, 1.30), "slower"),
        ((1.20, 0.99, 1.40), "same"),
        ((1.04, 1.03, 1.05), "same"),
        ((0.80, 0.70, 0.90), "faster"),
        ((0.80, 0.70, 1.01), "same"),
        ((0.97, 0.96, 0.98), "same"),
    ],
)
def test_a_verdict_needs_both_size_and_certainty(interval: tuple[float, float, float], verdict: str) -> None:
    assert judge(Interval(*interval)) == verdict


def test_exit_codes() -> None:
    same, slower = Outcome(case="a", verdict="same"), Outcome(case="b", verdict="slower")
    broken, absent = Outcome(case="c", verdict="broken"), Outcome(case="d", verdict="not compared", reason="x")
    assert exit_code([same, absent]) == 0
    assert exit_code([same, slower]) == 1
    assert exit_code([same, broken]) == 1
    with pytest.raises(InputError, match="nothing could be compared"):
        exit_code([Outcome(case=CONTROL, verdict="same"), absent])
    with pytest.raises(InputError, match="not quiet"):
        exit_code([Outcome(case=CONTROL, verdict="slower"), same])


def test_cases_include_a_control_and_steps_only_with_a_bundle(toy_bundle: Path) -> None:
    kernels = compared_cases(None)
    assert kernels[0].name == CONTROL
    assert {case.subject for case in kernels} == {"sgemm", "propagation"}
    assert {case.subject for case in compared_cases(str(toy_bundle))} == {"sgemm", "propagation", "tracker"}


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with the Python sources of the runtime, the kernels and the benchmarks."""
    root = tmp_path / "repository"
    for package in ("fgvc_deploy", "kernels/fgvc_kernels/reference", "benchmarks/fgvc_benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "bundles", "*.so")
        shutil.copytree(ROOT / package, root / package, ignore=ignored)
    shutil.copy(ROOT / "kernels/fgvc_kernels/__init__.py", root / "kernels/fgvc_kernels")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "base")
    return root


@contextmanager
def no_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def run(repository: Path, cases: list[Case], base: str = "main") -> dict[str, Outcome]:
    found = compare(repository, base, cases, threads=1, rounds=5, progress=no_progress)
    return {outcome.case: outcome for outcome in found}


def test_a_change_that_sleeps_is_found_and_the_worktree_is_gone(repository: Path) -> None:
    """The step takes about 2 ms; 20 ms more is a factor that no load of the machine hides."""
    tiled = repository / "fgvc_deploy/propagation/tiled.py"
    text = tiled.read_text()
    assert "        check_request(" in text
    slow = text.replace("        check_request(", "        __import__('time').sleep(0.02)\n        check_request(")
    tiled.write_text(slow)
    outcome = run(repository, [CASE])["numpy"]
    assert outcome.verdict == "slower"
    assert outcome.ratio is not None
    assert outcome.ratio > 1.5
    assert "slower" in line(outcome)
    listed = subprocess.run(
        ["git", "-C", str(repository), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1


@pytest.mark.parametrize(("second", "expected"), [("slower", "slower"), ("same", "same"), ("faster", "same")])
def test_a_difference_counts_only_if_found_twice(
    second: Any, expected: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([Outcome(case="numpy", verdict="slower"), Outcome(case="numpy", verdict=second)])
    monkeypatch.setattr("fgvc_benchmarks.compare._compare_case", lambda *arguments: next(found))
    assert run(repository, [CASE])["numpy"].verdict == expected


def test_a_wrong_change_is_broken_and_what_base_lacks_is_not_compared(repository: Path) -> None:
    weights = repository / "fgvc_deploy/propagation/weights.py"
    weights.write_text(weights.read_text() + "\n\ndef propagate(matches, weights, labels):\n    return labels[0]\n")
    absent = Case("absent", "propagation", dict(CASE.params) | {"backend": "warp"})
    outcomes = run(repository, [CASE, absent])
    assert outcomes["numpy"].verdict == "broken"
    assert "labels" in outcomes["numpy"].reason
    assert outcomes["absent"].verdict == "not compared"


def test_a_base_that_does_not_exist_is_told(repository: Path) -> None:
    with pytest.raises(InputError, match="no-such-branch: names no commit"):
        run(repository, [CASE], base="no-such-branch")
    assert len(commit_of(repository, "main")) == 40
    with pytest.raises(InputError, match="names no commit"):
        commit_of(repository.parent, "main")


def test_native_build_runs_where_there_is_one_and_its_failure_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "kernels" / "fgvc_kernels" / "native"
    side = Side("side", tmp_path, (tmp_path / "kernels",))
    build_native(side)
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").write_text("")
    (folder / "build.py").write_text("import pathlib\npathlib.Path('built').write_text('yes')\n")
    build_native(side)
    assert (tmp_path / "built").read_text() == "yes"
    (folder / "build.py").write_text("raise SystemExit('no compiler')\n")
    with pytest.raises(BackendError, match="of side does not build: no compiler"):
        build_native(side)


def test_unknown_figures_are_not_printed() -> None:
    text = line(Outcome(case="a", verdict="broken", reason="working tree: wrong"))
    assert text == "a: broken: working tree: wrong"
