"""The house rules a tool cannot check by itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "fgvc_deploy",
    "kernels/fgvc_kernels",
    "export/fgvc_export",
    "training/fgvc_training",
    "benchmarks/fgvc_benchmarks",
)


@pytest.mark.parametrize("folder", ["kernels", "export", "training", "benchmarks"])
def test_outer_folders_are_not_packages(folder: str) -> None:
    """With an __init__.py, `import kernels` would shadow the PyPI package of that name."""
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed_and_introduced(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    first_line = (ROOT / package / "__init__.py").read_text(encoding="utf-8").splitlines()[0]
    assert first_line.startswith('"""')


def test_wheel_holds_the_five_packages() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert tuple(config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES


def test_core_dependencies_stay_small() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {requirement.split(">=")[0] for requirement in config["project"]["dependencies"]}
    assert names == {"numpy", "pydantic", "typer", "rich", "av", "pillow"}
