"""Verdicts as Markdown: a table of laws and algorithms for each implementation that a run judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from . import formats

Row = Mapping[str, Any]
_BROKEN = ("fail", "error", "crash")


def render(record: Mapping[str, Any]) -> str:
    """A table for each judged implementation: a line a law, a column an algorithm, a cell how many cases keep it.

    "✓ 20" is kept in 20 cases, "✗ 2/20" broken in 2 of 20, "(✗) 3/4" broken as is known of torch.optim, "~ 1/20" less
    precise in one; "–" stands where nothing was compared. What nobody was asked is left out, and grades, which nothing
    breaks.

    Args:
        record: a run record.

    Example:
        >>> row = {"law": "opt.pure", "subject": "sgd", "implementation": "fused", "judged": True, "verdict": "pass"}
        >>> print(render({"results": [row, row]}))
        **fused**
        <BLANKLINE>
        | law | sgd |
        |---|---|
        | opt.pure | ✓ 2 |
    """
    grades = {name for name, law in record.get("laws", {}).items() if law["grade"]}
    rows = [row for row in record["results"] if (row["judged"] or _inherited(row)) and row["law"] not in grades]
    return "\n\n".join(
        f"**{name}**\n\n{_table([row for row in rows if row['implementation'] == name])}"
        for name in dict.fromkeys(row["implementation"] for row in rows)
    )


def _inherited(row: Row) -> bool:
    """Whether other people's code broke the law by what is known of torch.optim, which is not held against it."""
    # Laws of the level "torch" are asked of what stands in for torch.optim only.
    return row.get("backend") == "foreign" and bool(row.get("deviation")) and row.get("level") != "torch"


def _table(rows: Sequence[Row]) -> str:
    subjects = sorted({row["subject"] for row in rows})
    cells: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row["verdict"] != "skip":
            cells.setdefault(row["law"], {}).setdefault(row["subject"], []).append(row)
    lines = [f"| law | {' | '.join(subjects)} |", "|---" * (len(subjects) + 1) + "|"]
    for law in sorted(cells):
        lines.append(f"| {law} | {' | '.join(_cell(cells[law].get(subject, ())) for subject in subjects)} |")
    return "\n".join(lines)


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return formats.NONE
    broken = [row for row in rows if row["verdict"] in _BROKEN]
    if broken:
        symbol = "(✗)" if all(row.get("deviation") for row in broken) else "✗"
        return f"{symbol} {len(broken)}/{len(rows)}"
    count = Counter(row["verdict"] for row in rows)
    return f"~ {count['precision']}/{len(rows)}" if count["precision"] else f"✓ {len(rows)}"
