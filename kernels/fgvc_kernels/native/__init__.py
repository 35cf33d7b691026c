"""Native CPU kernels: features once per frame, exact top-k matching, label propagation.

C++ behind ctypes (calls release the GIL); NumPy in and out.  Without the compiled library every function raises
`NativeUnavailableError` and `available()` says why.  The plain reference beside it is `fgvc_kernels.reference`.
"""

from fgvc_kernels.native.errors import NativeArgumentError, NativeUnavailableError
from fgvc_kernels.native.frames import HalfFeatures, halve, normalise
from fgvc_kernels.native.isa import available, isa, isas, screening_pays, screens
from fgvc_kernels.native.matching import NativeMatches, match, propagate

__all__ = [
    "HalfFeatures",
    "NativeArgumentError",
    "NativeMatches",
    "NativeUnavailableError",
    "available",
    "halve",
    "isa",
    "isas",
    "match",
    "normalise",
    "propagate",
    "screening_pays",
    "screens",
]
