"""`python -m fgvc_kernels.aot`: rewrite the baseline, or check builds against it, for all or some chips."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from fgvc_kernels.aot.baseline import REWRITE, Baseline, load_baseline, save_baseline
from fgvc_kernels.aot.build import KernelBuild, compile_without_spills
from fgvc_kernels.aot.chips import CHIPS, Chip, chosen_chips
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.figures import StaticFigures, figures
from fgvc_kernels.aot.gates import faults
from fgvc_kernels.aot.versions import require_same_tools, tool_versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: done, or every gate holds; 1: a gate is broken; 2: wrong usage or no compiler here."""
    parser = argparse.ArgumentParser(prog="python -m fgvc_kernels.aot", description=__doc__)
    parser.add_argument("verb", choices=("baseline", "check"))
    parser.add_argument("--chip", action="append", help="sm_87 ...; default: all")
    parser.add_argument("--kernel", action="append", help="local_topk.resnet18_d1 ...; default: all")
    chosen = parser.parse_args(arguments)
    try:
        return (_rewrite if chosen.verb == "baseline" else _check)(chosen.chip or ["all"], chosen.kernel)
    except AotError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _builds(names: Sequence[str] | None) -> dict[str, KernelBuild]:
    from fgvc_kernels.aot.catalogue import catalogue

    known = catalogue()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise AotError(f"There is no kernel {unknown[0]!r}; choose from: {', '.join(known)}.")
    return {name: known[name] for name in names or known}


def _rewrite(chips: Sequence[str], names: Sequence[str] | None) -> int:
    """Replace the rows asked for; rows of kernels that no longer exist go."""
    known, chosen = _builds(None), _builds(names)
    whole = names is None and "all" in chips
    old = Baseline(tool_versions()) if whole else load_baseline()
    if not whole:
        require_same_tools(old)
    rows = {name: dict(old.figures.get(name, {})) for name in known}
    for name, build in chosen.items():
        for chip in chosen_chips(chips):
            rows[name][chip.name] = _measure(name, build, chip)
        rows[name] = {chip: rows[name][chip] for chip in CHIPS if chip in rows[name]}
    new = replace(old, constexprs={name: dict(build.constexprs) for name, build in known.items()}, figures=rows)
    path = save_baseline(new)
    print(f"{path}: {sum(map(len, rows.values()))} cubins, {new.total_bytes() / 1e6:.2f} MB")
    return 0


def _check(chips: Sequence[str], names: Sequence[str] | None) -> int:
    baseline, broken = load_baseline(), 0
    require_same_tools(baseline)
    for name, build in _builds(names).items():
        for chip in chosen_chips(chips):
            for fault in faults(_measure(name, build, chip), chip, baseline.of(name, chip.name)):
                print(f"{name} on {chip.name}: {fault.gate}: {fault.text}")
                broken += 1
    print(f"{broken} gates broken" + (f"; if that is meant: `{REWRITE}`" if broken else ""))
    return 1 if broken else 0


def _measure(name: str, build: KernelBuild, chip: Chip) -> StaticFigures:
    print(f"{name} for {chip.name}", file=sys.stderr)
    return figures(compile_without_spills(build, chip))


if __name__ == "__main__":
    sys.exit(main())
