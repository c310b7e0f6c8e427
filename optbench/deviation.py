"""A row of the table of deviations. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deviation:
    """One thing that torch does otherwise than the law says.

    Args:
        id: stable, "D-001".
        subjects, laws, implementations: globs, separated by blanks.
        cases: each a few texts that a case's id contains together; one of them is enough; empty: any case.
        torch_does: one line.
        ours: one line.
        upstream: the issue upstream, if one is known.
        script: at most ten lines of plain torch; its last line asserts what torch does.
    """

    id: str
    subjects: str
    laws: str
    implementations: str
    torch_does: str
    ours: str
    script: str
    cases: tuple[str, ...] = ()
    upstream: str = ""
