"""What a person sees while a command works: a progress bar on a terminal, plain lines elsewhere, nothing if quiet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 10.0


class Reporter:
    """Prints to standard error, so that standard output stays free for `--json`.

    `quiet` silences progress and remarks; errors are printed by `main`.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._silent = quiet or as_json
        self._as_json = as_json

    def say(self, text: str) -> None:
        """One line for the user."""
        if not self._silent:
            self.console.print(text, markup=False, soft_wrap=True)

    def result(self, data: dict[str, Any]) -> None:
        """The machine-readable answer: one JSON object on standard output, only with `--json`."""
        if self._as_json:
            print(json.dumps(data))

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Ticker]:
        """A counter of `total` steps (None: unknown) for the duration of the block."""
        if self._silent:
            yield Ticker()
        elif self.console.is_terminal:
            with _bar(self.console) as bar:
                task = bar.add_task(what, total=total)
                yield _BarTicker(bar, task)
        else:
            yield _LineTicker(self, what, total)

    @contextmanager
    def stages(self) -> Iterator[Callable[[str, float], None]]:
        """For work in named steps: call the result with (what comes now, share of the work done before it)."""
        if self._silent or not self.console.is_terminal:
            yield lambda what, share: self.say(what)
            return
        with Progress(BarColumn(), TextColumn("{task.description}"), console=self.console, transient=True) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda what, share: bar.update(task, description=what, completed=share)


class Ticker:
    """Counts finished steps; this one shows nothing."""

    def __call__(self) -> None:
        """One more step is done."""


class _BarTicker(Ticker):
    def __init__(self, bar: Progress, task: Any) -> None:
        self._bar, self._task = bar, task

    def __call__(self) -> None:
        self._bar.advance(self._task)


class _LineTicker(Ticker):
    """A line every ten seconds: enough for a log file, not enough to flood it."""

    def __init__(self, reporter: Reporter, what: str, total: int | None) -> None:
        self._reporter, self._what, self._total = reporter, what, total
        self._done, self._next = 0, time.monotonic() + PLAIN_INTERVAL_S

    def __call__(self) -> None:
        self._done += 1
        if time.monotonic() >= self._next or self._done == self._total:
            of = f" of {self._total}" if self._total else ""
            self._reporter.say(f"{self._what}: {self._done}{of}")
            self._next = time.monotonic() + PLAIN_INTERVAL_S


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
