"""Signals that wait for the frame in hand, so that all files of a stopped run are whole and end together."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 1.0


class Interruption(KeyboardInterrupt):
    """Somebody asked the run to stop, by the signal `number`; its text says how."""

    def __init__(self, number: int) -> None:
        self.number = number
        name = "with Ctrl-C" if number == signal.SIGINT else f"by {signal.Signals(number).name}"
        super().__init__(f"stopped {name}")


class Interrupts:
    """While this context lasts, Ctrl-C, SIGTERM and SIGHUP only set a flag; `check` raises, once, between frames.

    `on_first` is called when the flag is set.  Another signal raises at once, unless it comes within a second: people
    press Ctrl-C twice, and terminals and service managers signal a process more than once.  A signal that was ignored
    before (nohup, background jobs of a script) stays ignored.  Outside the main thread, where Python delivers no
    signals, all this does nothing.
    """

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self._on_first = on_first
        self._asked: Interruption | None = None
        self._asked_at = 0.0
        self._raised = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise Interruption when one of the signals has come and this has not been said before."""
        if self._asked and not self._raised:
            self._raised = True
            raise self._asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked is None:
            self._asked, self._asked_at = Interruption(number), time.monotonic()
            # The signal may have come in the middle of writing to the same stream.
            with contextlib.suppress(RuntimeError):
                self._on_first()
        elif time.monotonic() - self._asked_at > _GRACE_SECONDS:
            # Not an Interruption: what is half-written now must not be taken for finished.
            raise KeyboardInterrupt
