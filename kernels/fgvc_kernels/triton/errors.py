"""What can go wrong with a call of a Triton kernel, as sentences for people."""


class KernelArgumentError(ValueError):
    """A tensor has the wrong type, shape, layout or device, or a setting is out of range."""
