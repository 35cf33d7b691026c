"""Where a figure comes from: machine, versions, commit, model and settings.  Gathered once for each run."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from fgvc_deploy.bundle import Bundle
from fgvc_deploy.results.run_json import Machine, machine, versions
from fgvc_deploy.settings import FrozenModel

ROOT = Path(__file__).resolve().parents[2]
# In a wheel all packages lie side by side.
INSTALLED = Path(__file__).resolve().parents[1]
PACKAGES = (
    "fgvc_deploy",
    "kernels/fgvc_kernels",
    "export/fgvc_export",
    "training/fgvc_training",
    "benchmarks/fgvc_benchmarks",
)
SOURCES = (".py", ".cpp", ".cc", ".c", ".h", ".hpp", ".inc", ".inl")
BENCH_PACKAGES = ("torch", "matplotlib", "pytest-benchmark")
# Instruction sets that decide which kernels run.
ISA = ("neon", "asimd", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


class Commit(FrozenModel):
    """State of the code.  `sources_sha256` covers the five packages, so that two dirty trees can be told apart."""

    sha: str
    dirty: bool
    sources_sha256: str


class ModelFacts(FrozenModel):
    """The bundle that was measured; its sha256 is that of its manifest, which lists the hash of every artefact."""

    sha256: str
    arch: str
    stride: int
    channels: int
    weights: str


class Configuration(FrozenModel):
    """Everything that must be equal for a record to be reused.

    `removed_environment` names variables that would have changed the machine's BLAS kernels and were therefore taken
    out of the workers' environment.
    """

    suite: str
    machine: Machine
    isa: tuple[str, ...]
    versions: dict[str, str]
    commit: Commit
    model: ModelFacts | None
    threads: int
    rounds: int
    removed_environment: tuple[str, ...]


def model_facts(bundle: Bundle) -> ModelFacts:
    """Describe a bundle."""
    encoder = bundle.manifest.encoder
    return ModelFacts(
        sha256=bundle.sha256,
        arch=encoder.arch,
        stride=encoder.stride,
        channels=encoder.channels,
        weights=bundle.manifest.provenance.weights,
    )


def configuration(
    suite: str, *, threads: int, rounds: int, bundle: Bundle | None, removed_environment: Sequence[str]
) -> Configuration:
    """Describe this machine, this code and this run."""
    return Configuration(
        suite=suite,
        machine=machine(),
        isa=isa(),
        versions=versions() | _bench_versions(),
        commit=commit(ROOT),
        model=None if bundle is None else model_facts(bundle),
        threads=threads,
        rounds=rounds,
        removed_environment=tuple(sorted(removed_environment)),
    )


def commit(root: Path) -> Commit:
    """Commit of the tree at `root`; sha is empty where it is no git repository (an installed package).

    Results under benchmarks/results do not make a tree dirty: writing them is what a benchmark does.
    """
    # An environment inside someone's repository is not that repository.
    own = _git(root, "rev-parse", "--show-toplevel") == str(root.resolve())
    sha = _git(root, "rev-parse", "HEAD") if own else None
    watched = [*PACKAGES, "pyproject.toml", ":!benchmarks/results"]
    status = _git(root, "status", "--porcelain", "--", *watched) if sha else None
    return Commit(sha=sha or "", dirty=bool(status), sources_sha256=sources_sha256(root))


def sources_sha256(root: Path, packages: Sequence[str] = PACKAGES) -> str:
    """One hash over names and contents of the source files of the five packages, or of some of them."""
    digest = hashlib.sha256()
    for package in packages:
        folder = root / package
        if not folder.is_dir():
            folder = INSTALLED / folder.name
        for path in sorted(folder.rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                digest.update(f"{path.relative_to(folder.parent).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def isa() -> tuple[str, ...]:
    """Instruction sets of this processor that matter here, as Linux names them; empty where it does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    words = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    return tuple(name for name in ISA if name in words)


def _bench_versions() -> dict[str, str]:
    found = {}
    for package in BENCH_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
