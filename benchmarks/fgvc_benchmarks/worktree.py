"""Two states of the code side by side: the working tree, and another commit in a temporary git worktree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fgvc_deploy.errors import BackendError, InputError

LIBRARY_FOLDERS = ("", "kernels", "export", "training")
NATIVE_BUILD = Path("kernels/fgvc_kernels/native/build.py")


@dataclass(frozen=True)
class Side:
    """One state of the code: what to call it, and where its packages are found."""

    name: str
    root: Path
    search_path: tuple[Path, ...]


@contextmanager
def two_sides(root: Path, base: str) -> Iterator[tuple[Side, Side]]:
    """Yield (base, working tree) of the repository at `root`, native libraries built.

    Both are measured by the same benchmark code, a copy of the working tree's; only the library differs.  Raises
    InputError when `base` names no commit, BackendError when a native library does not build.
    """
    sha = commit_of(root, base)
    with tempfile.TemporaryDirectory(prefix="fgvc-compare-") as temporary:
        harness = Path(temporary) / "harness"
        package = root / "benchmarks" / "fgvc_benchmarks"
        shutil.copytree(package, harness / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        folder = Path(temporary) / "base"
        _git(root, "worktree", "add", "--quiet", "--detach", str(folder), sha)
        try:
            sides = (_side(f"{base} ({sha[:10]})", folder, harness), _side("working tree", root, harness))
            for side in sides:
                build_native(side)
            yield sides
        finally:
            _git(root, "worktree", "remove", "--force", str(folder))


def commit_of(root: Path, name: str) -> str:
    """Full sha of a commit, branch or tag; raises InputError when there is none of that name."""
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except InputError:
        raise InputError(f"{name}: names no commit of the git repository at {root}.") from None


def build_native(side: Side) -> None:
    """Build the native library of one side with its own build script, where it has one."""
    if not (side.root / NATIVE_BUILD).is_file():
        return
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, side.search_path))}
    command = [sys.executable, "-P", "-m", "fgvc_kernels.native.build"]
    done = subprocess.run(command, cwd=side.root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"the native library of {side.name} does not build: {done.stderr[-2000:].strip()}")


def _side(name: str, root: Path, harness: Path) -> Side:
    return Side(name, root, (harness, *(root / folder for folder in LIBRARY_FOLDERS)))


def _git(root: Path, *arguments: str) -> str:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise InputError("comparing commits needs git, and it is not installed.") from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"git {arguments[0]} failed in {root}: {error.stderr.strip()}") from None
    return done.stdout.strip()
