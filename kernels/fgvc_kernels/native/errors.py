"""What can go wrong with the native kernels, as sentences for people."""


class NativeUnavailableError(RuntimeError):
    """The library is missing, is from other sources, or this CPU lacks the instruction set that was asked for."""


class NativeArgumentError(ValueError):
    """An array has the wrong type, shape or layout, or a setting is out of range."""
