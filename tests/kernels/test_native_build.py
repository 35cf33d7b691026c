"""Building the native kernels: the objects, the C++ self-test here, on ARM and with sanitizers, and the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from fgvc_kernels.native import build

ROOT = Path(__file__).resolve().parents[2]
SELFTEST = Path(__file__).resolve().parent / "native" / "selftest.cpp"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "probe"
version = "1"
requires-python = ">=3.11"
[tool.hatch.build.targets.wheel]
packages = ["kernels/fgvc_kernels"]
[tool.hatch.build.targets.wheel.hooks.custom]
"""


def need(condition: bool, what: str, variable: str) -> None:
    """Skip without `what`, or fail when the variable says that this machine must have it."""
    if condition:
        return
    if os.environ.get(variable) == "1":
        pytest.fail(f"{variable}=1 but there is no {what}")
    pytest.skip(f"no {what}")


def link_selftest(folder: Path, objects: list[Path], compiler: list[str], *extra: str) -> Path:
    program = folder / "selftest"
    include = ["-I", str(build.SOURCES), "-std=c++17", "-O1", "-pthread"]
    build._run([*compiler, *include, *extra, str(SELFTEST), *map(str, objects), "-o", str(program)])
    return program


def run_selftest(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split(":")[0] for line in done.stdout.splitlines() if line.endswith(": ok")]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    need(any(shutil.which(name) for name in ("c++", "g++", "clang++")), "C++ compiler", "FGVC_REQUIRE_NATIVE")
    return build.compile_objects(tmp_path_factory.mktemp("objects"))


def test_selftest(objects: list[Path], tmp_path: Path) -> None:
    tested = run_selftest(str(link_selftest(tmp_path, objects, build.find_compiler())))
    assert tested[-1] == "portable"


def test_no_function_of_one_instruction_set_can_serve_another(objects: list[Path]) -> None:
    """The linker keeps one copy of a weak symbol: compiled with AVX-512 flags, it would crash an older CPU."""
    need(shutil.which("nm") is not None, "nm (binutils)", "FGVC_REQUIRE_NATIVE")
    for path in objects:
        if not path.name.startswith("isa_"):
            continue
        listed = subprocess.run(["nm", "--defined-only", str(path)], capture_output=True, text=True, check=True)
        kinds = {line.split()[-2] for line in listed.stdout.splitlines()}
        assert not kinds & set("WwVvu"), f"{path.name}: {listed.stdout}"


@pytest.mark.slow
def test_neon_under_qemu(tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    need(bool(compiler and emulator), "aarch64-linux-gnu-g++ and qemu-aarch64", "FGVC_REQUIRE_CROSS")
    command = [str(compiler)]
    arm_objects = build.compile_objects(tmp_path, compiler=command, machine="aarch64")
    program = link_selftest(tmp_path, arm_objects, command, "-static")
    assert run_selftest(str(emulator), str(program)) == ["neon", "portable"]


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    need(shutil.which("g++") is not None, "g++", "FGVC_REQUIRE_NATIVE")
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1")
    sanitized = build.compile_objects(tmp_path, compiler=["g++"], extra=flags)
    assert run_selftest(str(link_selftest(tmp_path, sanitized, ["g++"], *flags)))[-1] == "portable"


def make_wheel(tmp_path: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    project = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.dylib")
    shutil.copytree(build.SOURCES.parent, project / "kernels" / "fgvc_kernels" / "native", ignore=ignored)
    shutil.copy(ROOT / "hatch_build.py", project)
    (project / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    variables = {key: value for key, value in os.environ.items() if key != "FGVC_NATIVE"} | environment
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    return done, list((tmp_path / "dist").glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_library_and_names_the_platform(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    done, wheels = make_wheel(tmp_path, FGVC_NATIVE="1")
    assert done.returncode == 0, done.stderr
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert [wheel.name for wheel in wheels] == [f"probe-1-py3-none-{platform}.whl"]
    with zipfile.ZipFile(wheels[0]) as archive:
        names = archive.namelist()
        assert b"Root-Is-Purelib: false" in archive.read("probe-1.dist-info/WHEEL")
    assert f"fgvc_kernels/native/{build.LIBRARY_NAME}" in names
    assert "fgvc_kernels/native/src/fgvc_native.h" in names


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"FGVC_NATIVE": "0"}, ""), ({"CXX": "/nonexistent/c++"}, "without its native CPU kernels")],
    ids=["switched off", "no compiler"],
)
def test_wheel_without_kernels_is_pure(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    done, wheels = make_wheel(tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
    assert [wheel.name for wheel in wheels] == ["probe-1-py3-none-any.whl"]


def test_a_required_library_that_cannot_be_built_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    done, wheels = make_wheel(tmp_path, FGVC_NATIVE="1", CXX="/nonexistent/c++")
    assert done.returncode != 0
    assert not wheels


def test_no_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(sys, "argv", ["build"])
    assert build.main() == 2
    assert "install g++" in capsys.readouterr().err
