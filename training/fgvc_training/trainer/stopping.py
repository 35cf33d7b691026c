"""Ctrl-C, SIGTERM and SIGHUP ask the training to stop after the step in hand."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 1.0


class StopRequest:
    """While this context lasts, the first signal only sets `number`; one more than a second later stops at once.

    Signals that were ignored before stay ignored.  Outside the main thread this does nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._at = number, time.monotonic()
        elif time.monotonic() - self._at > _GRACE_SECONDS:
            raise KeyboardInterrupt
