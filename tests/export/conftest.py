"""Fixtures of the export's tests: each architecture is exported once in a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from fgvc_export import export_bundle
from fgvc_export.pipeline import ExportReport


class Exported(NamedTuple):
    """An untrained export: its report, the progress it told, and everything it printed."""

    report: ExportReport
    progress: list[tuple[str, float]]
    printed: str


ExportOf = Callable[[str], Exported]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportOf:
    """`exported("edge_lite0")`: untrained weights of that architecture in a bundle directory."""

    @cache
    def export(arch: str) -> Exported:
        folder = tmp_path_factory.mktemp("export")
        progress: list[tuple[str, float]] = []
        with printed_to(folder / "printed.txt"):
            report = export_bundle(
                None, folder / "bundle", arch=arch, progress=lambda message, share: progress.append((message, share))
            )
        return Exported(report, progress, (folder / "printed.txt").read_text())

    return export


@contextmanager
def printed_to(path: Path) -> Iterator[None]:
    """Send file descriptors 1 and 2 to a file: what the user would see, whoever prints it."""
    saved = os.dup(1), os.dup(2)
    with path.open("w") as target:
        os.dup2(target.fileno(), 1)
        os.dup2(target.fileno(), 2)
        try:
            yield
        finally:
            for descriptor, copy in enumerate(saved, start=1):
                os.dup2(copy, descriptor)
                os.close(copy)
