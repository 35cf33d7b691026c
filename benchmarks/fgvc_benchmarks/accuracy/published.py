"""Published figures, and whether those measured here may be put beside them.  Nothing here is measured."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A figure of others: what, of whom, on what, and whether ours is the same measurement."""

    method: str
    benchmark: str
    figure: str
    comparable: str


SEVEN = "no: average of BADJA's seven DAVIS sequences, here are three of them"
OURS = "yes: same sequences, queries and threshold, measured with this project's data"
PUBLISHED = (
    Published("RAFT", "BADJA PCK@0.2", "45.6", SEVEN),
    Published("PIPs", "BADJA PCK@0.2", "62.3", SEVEN),
    Published("FGVC", "BADJA PCK@0.2", "69.7", SEVEN),
    Published("points that stay where they are", "BADJA PCK@0.2, our three", "34.8", OURS),
    Published("Lucas-Kanade", "BADJA PCK@0.2, our three", "54.0", OURS),
    Published("DIS flow, chained", "BADJA PCK@0.2, our three", "50.6", OURS),
    Published("Lucas-Kanade", "planar <delta_avg", "0.703", OURS),
    Published("DIS flow", "Middlebury end-point error", "0.16 Dimetrodon, 0.23 RubberWhale, 2.0 Urban3",
              "nearly: theirs over all pixels, ours on a grid of 8 pixels"),
    Published("FGVC", "TAP-Vid-DAVIS, JHMDB", "in the paper", "not run: neither data nor checkpoints at hand"),
)  # fmt: skip


def published_table() -> str:
    """Markdown."""
    lines = ["| method | benchmark | figure | comparable with ours? |", "|---|---|---:|---|"]
    lines += [f"| {' | '.join(row)} |" for row in PUBLISHED]
    return "\n".join(lines) + "\n"
