"""Errors of the training package meant for people; it imports nothing of ours, so they are ValueErrors of its own."""


class TrainingError(ValueError):
    """Base of every error this package raises on purpose: which thing, what is wrong, what to do."""


class ShapeError(TrainingError):
    """Tensors that must agree in shape do not."""


class DataError(TrainingError):
    """A training data set is missing, incomplete or damaged."""
