"""Versions of the compilers behind a build: figures of one set of tools say nothing about another."""

from __future__ import annotations

from fgvc_kernels.aot.baseline import REWRITE, Baseline
from fgvc_kernels.aot.chips import CHIPS
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.tools import assembler_version


def tool_versions() -> dict[str, str]:
    """Triton and the assemblers it uses, by name."""
    try:
        from triton import __version__
    except ImportError:
        raise AotError("Compiling kernels needs triton; run `pip install 'fgvc-deploy[export]'`.") from None
    assemblers = {f"ptxas ({first} on)": assembler_version(CHIPS[first]) for first in ("sm_80", "sm_90")}
    return {"triton": __version__} | assemblers


def require_same_tools(baseline: Baseline) -> None:
    """Raise `AotError` unless the tools here are those that the baseline was written with."""
    here = tool_versions()
    if here != baseline.versions:
        raise AotError(
            f"The baseline was written with {_listed(baseline.versions)}, here are {_listed(here)}: "
            f"install those, or write the baseline anew with `{REWRITE}`."
        )


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
