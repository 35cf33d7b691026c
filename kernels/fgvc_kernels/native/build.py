"""Compiles `src/` into the shared library that `library.py` loads: `python -m fgvc_kernels.native.build`.

One compiler call per instruction set, each with its own flags, then a link.  The wheel's build hook and the tests
call `build`; nothing here is needed at run time.  This file imports nothing of ours, so the hook can load it by path.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).resolve().parent / "src"
LIBRARY_NAME = "libfgvc_native.dylib" if sys.platform == "darwin" else "libfgvc_native.so"
LIBRARY = SOURCES.parent / LIBRARY_NAME
# -ffast-math would let the compiler drop the NaN handling and reorder the sums whose error the screen bounds.
FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-ffp-contract=fast", "-pthread"),
    # GCC 105593: its own AVX-512 header trips the last one.
    *("-Wall", "-Wextra", "-Wno-maybe-uninitialized"),
)
BASELINE_UNITS = ("api_frames", "api_match", "cpu", "threads", "window", "isa_portable")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
ISA_UNITS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "isa_avx2": ("-mavx2", "-mfma"),
        "isa_avx512": AVX512,
        "isa_avx512bf16": (*AVX512, "-mavx512bf16"),
        "isa_amx": (*AVX512, "-mamx-tile", "-mamx-bf16"),
    },
    "aarch64": {"isa_neon": ()},
}
MACHINE_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


class BuildError(Exception):
    """The library cannot be compiled here; the text says why in a sentence or two."""


class Unit(NamedTuple):
    """One translation unit: file name without suffix, and the flags of its instruction set."""

    name: str
    flags: tuple[str, ...]


def host_machine() -> str:
    """`x86_64`, `aarch64`, or whatever else the platform calls itself."""
    machine = platform.machine().lower()
    return MACHINE_NAMES.get(machine, machine)


def units(machine: str) -> list[Unit]:
    """Everything to compile for a machine; one without its own kernels gets the portable ones."""
    own = ISA_UNITS.get(machine, {})
    return [Unit(name, ()) for name in BASELINE_UNITS] + [Unit(name, flags) for name, flags in own.items()]


def find_compiler() -> list[str]:
    """The C++ compiler's command: `$CXX`, else the first of c++, g++, clang++ on the path.  Raises BuildError."""
    named = os.environ.get("CXX")
    if named:
        return shlex.split(named)
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise BuildError("No C++ compiler found: install g++ (or set CXX) to build the native kernels.")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"Cannot run {command[0]}: {error.strerror}.") from error
    if done.returncode:
        raise BuildError(f"`{shlex.join(command)}` failed:\n{done.stderr.strip()}")


def _knows(compiler: list[str], unit: Unit) -> bool:
    """Whether the compiler has the flags of a unit: g++ before 11 has no AMX, for example."""
    probe = [*compiler, *unit.flags, "-x", "c++", "-fsyntax-only", os.devnull]
    return not unit.flags or subprocess.run(probe, capture_output=True, check=False).returncode == 0


def compile_objects(
    folder: Path, *, compiler: list[str] | None = None, machine: str | None = None, extra: tuple[str, ...] = ()
) -> list[Path]:
    """Compile into `folder` every unit whose flags the compiler has, as many at a time as there are CPUs.

    Returns the objects.  Raises BuildError.
    """
    compiler = compiler or find_compiler()
    _run([*compiler, "--version"])
    every = units(machine or host_machine())
    wanted = [unit for unit in every if _knows(compiler, unit)]
    without = [f"-DFGVC_WITHOUT_{unit.name.removeprefix('isa_').upper()}" for unit in every if unit not in wanted]

    def compile_one(unit: Unit) -> Path:
        target = folder / f"{unit.name}.o"
        source = SOURCES / f"{unit.name}.cpp"
        _run([*compiler, *FLAGS, *unit.flags, *extra, *without, "-c", str(source), "-o", str(target)])
        return target

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(compile_one, wanted))


def build(target: Path = LIBRARY) -> Path:
    """Compile and link the library at `target`; an older one is replaced only when all went well.

    Raises BuildError with a sentence when there is no compiler or it fails.
    """
    compiler = find_compiler()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fgvc-native-") as scratch:
        objects = compile_objects(Path(scratch), compiler=compiler)
        linked = Path(scratch) / LIBRARY_NAME
        # The C++ run-time library goes in: the wheel then needs nothing but libc, libm and the loader.
        static = [] if sys.platform == "darwin" else ["-static-libstdc++", "-static-libgcc"]
        _run([*compiler, "-shared", "-pthread", *static, *map(str, objects), "-o", str(linked)])
        staged = target.with_name(target.name + ".new")
        shutil.copy2(linked, staged)
        staged.replace(target)
    return target


def main() -> int:
    """Command line: build in place, or say in one sentence why not."""
    parser = argparse.ArgumentParser(description="Build the native CPU kernels in place.")
    parser.add_argument("--out", type=Path, default=LIBRARY, help="the library to write (default: %(default)s)")
    try:
        print(build(parser.parse_args().out))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
