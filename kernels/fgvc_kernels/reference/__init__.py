"""Plain NumPy reference of label propagation: the referee that every other implementation is tested against.

Dense, slow and without tricks.  Every function computes in the dtype it is given, so float64 inputs give float64
answers.  Frames are channels last ([H, W, C] features, [H, W, P] label maps), key frames are stacked along a leading
T, and affinity matrices are [query, key] with key = t * H*W + y * W + x.  Items are those of the goldens README.
"""

from .affinity import cosine_affinity, l2_affinity, unit_rows
from .attention import AttentionOptions, attend, attend_batch
from .check import MatchError, check_matches, check_scores
from .coarse_to_fine import attend_coarse_to_fine
from .memory import memory_frames
from .padded import attend_padded
from .pooled_search import pooled_candidates
from .windows import radius_of_range, window_mask, window_rows

__all__ = [
    "AttentionOptions",
    "MatchError",
    "attend",
    "attend_batch",
    "attend_coarse_to_fine",
    "attend_padded",
    "check_matches",
    "check_scores",
    "cosine_affinity",
    "l2_affinity",
    "memory_frames",
    "pooled_candidates",
    "radius_of_range",
    "unit_rows",
    "window_mask",
    "window_rows",
]
