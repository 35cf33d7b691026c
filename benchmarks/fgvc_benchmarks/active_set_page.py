"""The page of `active_set.py`: its record as tables."""

from __future__ import annotations

from typing import Any

from fgvc_benchmarks.provenance import ROOT

PAGE = ROOT / "docs" / "active-set.md"


def tables(record: dict[str, Any]) -> str:
    """Markdown: accuracy by encoder, number of points and tau over all clips; then times."""
    lines = [
        "| encoder | points | tau | moved, px | visible ones, px | confidence | pixels matched |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    cases: dict[tuple[str, int, float], list[dict[str, Any]]] = {}
    for row in record["accuracy"]:
        cases.setdefault((row["encoder"], row["points"], row["tau"]), []).append(row)
    for (encoder, points, tau), rows in cases.items():
        moved, visible, confidence = (max(r[k] for r in rows) for k in ("moved_px", "moved_visible_px", "confidence"))
        shares = sorted(r["matched"] for r in rows)
        lines.append(
            f"| {encoder} | {points} | {tau:.0e} | {moved:.4f} | {visible:.4f} | {confidence:.1e} "
            f"| {shares[0]:.0%} to {shares[-1]:.0%} |"
        )
    lines += ["", "| propagation | points | whole map, ms | active set, ms |", "|---|---:|---:|---:|"]
    lines += [
        f"| {row['backend']} | {row['points']} | {row['without_ms']:.1f} | {row['with_ms']:.1f} |"
        for row in record["times"]
    ]
    return "\n".join(lines) + "\n"
