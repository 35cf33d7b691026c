"""The checked-in table of static figures, and the comparison of a build with it.

`baseline.json` is written by `python -m fgvc_kernels.aot baseline`, never by hand.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from fgvc_kernels.aot.build import Constant
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.figures import StaticFigures

FILE = "baseline.json"
REWRITE = "python -m fgvc_kernels.aot baseline"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """Figures by build and chip, the constants of each build, and the versions of the compilers behind them."""

    versions: dict[str, str]
    constexprs: dict[str, dict[str, Constant]] = field(default_factory=dict)
    figures: dict[str, dict[str, StaticFigures]] = field(default_factory=dict)

    def of(self, variant: str, chip: str) -> StaticFigures:
        """Figures of one variant on one chip; raises `AotError` when the table lacks them."""
        try:
            return self.figures[variant][chip]
        except KeyError:
            raise AotError(f"The baseline has no {variant} on {chip}; write it with `{REWRITE}`.") from None

    def total_bytes(self) -> int:
        """Size of all cubins in the table."""
        return sum(row.cubin_bytes for rows in self.figures.values() for row in rows.values())

    def to_json(self) -> str:
        """The file's text: one line for each variant and chip, so that a change shows as its lines."""
        head = json.dumps({"schema_version": _SCHEMA, "versions": self.versions})[1:-1]
        builds = (f"  {json.dumps(name)}: {{\n{_rows(rows)}\n  }}" for name, rows in self.figures.items())
        constants = (f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in self.constexprs.items())
        return f'{{{head}, "constexprs": {{\n{_joined(constants)}\n}}, "figures": {{\n{_joined(builds)}\n}}}}\n'


def _rows(rows: dict[str, StaticFigures]) -> str:
    return _joined(f"    {json.dumps(chip)}: {json.dumps(dataclasses.asdict(row))}" for chip, row in rows.items())


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(lines)


def load_baseline() -> Baseline:
    """The table that this package carries; raises `AotError` when it is damaged."""
    return parse_baseline(resources.files("fgvc_kernels.aot").joinpath(FILE).read_text(encoding="utf-8"))


def parse_baseline(text: str) -> Baseline:
    """A table from its text; raises `AotError` when it is of another version or incomplete."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw["schema_version"] != _SCHEMA:
            raise AotError(f"The baseline is of version {raw['schema_version']}; write it anew with `{REWRITE}`.")
        figures = {
            variant: {chip: StaticFigures(**row) for chip, row in rows.items()}
            for variant, rows in raw["figures"].items()
        }
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise AotError(f"The baseline is damaged ({error!r}); write it anew with `{REWRITE}`.") from error
    return Baseline(raw["versions"], raw["constexprs"], figures)


def save_baseline(baseline: Baseline, path: Path | None = None) -> Path:
    """Write the table over the one of this package's sources, or to `path`; returns where."""
    target = path or Path(__file__).with_name(FILE)
    target.write_text(baseline.to_json(), encoding="utf-8")
    return target
