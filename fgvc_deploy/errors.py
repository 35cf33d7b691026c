"""Errors meant for people: which thing, what is wrong, what to do.  The command line turns them into exit code 2."""

from typing import Any


class FgvcError(Exception):
    """Base of every error this package raises on purpose; its text is one or two sentences for the user."""


class InputError(FgvcError, ValueError):
    """A source, points file, mask or option cannot be used."""


class SourceFault(InputError):
    """A video stopped being readable part-way: frames before the fault were delivered and stay valid.

    `frame_index` is the index of the first frame that could not be read.  `partial` holds what an offline call of
    `Model` had computed before the fault (Tracks, or masks), else None.
    """

    partial: Any = None

    def __init__(self, message: str, frame_index: int) -> None:
        super().__init__(message)
        self.frame_index = frame_index

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from `args`, which lacks the index; multiprocessing hangs on one that cannot be.
        return type(self), (str(self), self.frame_index), {"partial": self.partial}


class BundleError(FgvcError):
    """A bundle is missing, damaged, newer than this version, or not what its manifest says."""


class CheckpointError(FgvcError):
    """A checkpoint cannot be read safely, or does not fit the architecture."""


class BackendError(FgvcError):
    """A backend cannot run here: what is missing, and the command that mends it."""


class ParityError(FgvcError):
    """An exported artefact differs from its reference by more than its budget."""


class OutputError(FgvcError):
    """Results cannot be written: folder not empty, disk full, no permission."""


class Stopped(FgvcError):
    """A run was stopped by a signal.  What had been done is kept where the text says; `exit_code` is 128 + signal."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.exit_code)
