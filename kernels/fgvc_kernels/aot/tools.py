"""NVIDIA's command-line tools as the triton wheel brings them: assembler, disassembler and object dump."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from fgvc_kernels.aot.chips import Chip
from fgvc_kernels.aot.errors import AotError

Tool = Literal["cuobjdump", "nvdisasm", "ptxas", "ptxas-blackwell"]
_TIMEOUT_S = 120


def tool_path(name: Tool) -> Path:
    """Where the wheel keeps a tool; raises `AotError` when triton or the tool is missing."""
    try:
        from triton.backends import nvidia
    except ImportError:
        raise AotError("Compiling kernels needs triton; run `pip install 'fgvc-deploy[export]'`.") from None
    path = Path(nvidia.__path__[0]) / "bin" / name
    if not path.is_file():
        raise AotError(f"This triton has no {name} at {path}; install the triton wheel for Linux from PyPI.")
    return path


def dump(name: Tool, cubin: bytes, *options: str) -> str:
    """Standard output of a tool that reads a cubin; raises `AotError` with the tool's own words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        return _run(name, *options, str(path))


def assemble(ptx: str, chip: Chip) -> bytes:
    """Cubin of a PTX text for `chip`, with the assembler that Triton takes for it; raises `AotError`."""
    name: Tool = "ptxas" if chip.capability < 90 else "ptxas-blackwell"
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        source.write_text(ptx, encoding="ascii")
        _run(name, f"--gpu-name={chip.arch}", str(source), "-o", str(result))
        return result.read_bytes()


def assembler_version(chip: Chip) -> str:
    """Version of the ptxas that Triton runs for a chip: `12.9`."""
    from triton.backends.nvidia.compiler import get_ptxas

    return str(get_ptxas(chip.capability).version)


def _run(name: Tool, *arguments: str) -> str:
    command = [str(tool_path(name)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise AotError(f"{name} refused its input: {reason[0]}")
    return done.stdout
