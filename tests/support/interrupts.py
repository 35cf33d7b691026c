"""An interrupt at a chosen step, for runs that call back after each."""

from __future__ import annotations

from collections.abc import Callable


def interrupt_at(call: int) -> Callable[[], None]:
    """A callback that raises KeyboardInterrupt when it is called the `call`-th time."""
    left = iter(range(call - 1))

    def stop() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return stop
