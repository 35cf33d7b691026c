"""Errors of the ahead-of-time compiler, for people: which kernel and chip, what is wrong, what to do."""


class AotError(ValueError):
    """A kernel cannot be compiled or read for a chip: a missing tool, a wrong name, or a refused build."""


class GateError(AotError):
    """Machine code broke a static gate: it spills, does not fit, or lost instructions its baseline has."""
