"""Where torch.optim breaks a law: the table, and one row of it in full. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .terminal import width, wrap

if TYPE_CHECKING:
    from optbench.deviations import Deviation


def lines() -> list[list[str]]:
    """A line a row: id, effect, where, what, and the issue upstream."""
    from optbench.deviations import TABLE

    return [
        [row.id, f"{row.effect:<14}", f"{_where(row)}: {row.torch_does}{f' ({row.upstream})' if row.upstream else ''}"]
        for row in TABLE
    ]


def show(row: Deviation) -> None:
    """Print a row in full, its script as it is."""
    from optbench.deviations import MEANINGS, command

    columns = width()
    print(wrap(f"{row.id}: {row.torch_does}.", columns))
    print()
    told = {
        "effect": f"{row.effect} ({MEANINGS[row.effect]})",
        "where": _where(row),
        "why" if row.effect == "convention" else "proof": " ".join(row.proof.split()),
        "ours": row.ours,
        "upstream": row.upstream or "not found",
        "laws": row.laws,
        "shown by": command(row),
    }
    for key, value in told.items():
        print(wrap(f"{key:<9} {value}", columns, " " * 10))
    print(f"\n{row.script}", end="")


def _where(row: Deviation) -> str:
    return f"{row.subjects} in {row.implementations}"
