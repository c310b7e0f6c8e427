"""Where torch.optim itself breaks a law: one table. Our tiers keep the law; each row has a script of plain torch that shows it."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from optbench.results import Result


@dataclass(frozen=True)
class Deviation:
    """One thing that torch does otherwise than the law says.

    Args:
        id: stable, "D-001".
        subjects, laws, implementations: globs, separated by blanks.
        cases: texts one of which a case's id contains; empty: any case.
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


TABLE: tuple[Deviation, ...] = ()


def explain(result: Result) -> Deviation | None:
    """The row that accounts for a broken law, if there is one."""
    for row in TABLE:
        if (
            _any(row.subjects, result.subject)
            and _any(row.laws, result.law)
            and _any(row.implementations, result.implementation)
            and (not row.cases or any(text in result.case for text in row.cases))
        ):
            return row
    return None


def _any(globs: str, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs.split())
