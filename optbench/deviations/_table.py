"""Where torch.optim itself breaks a law: one table. Our tiers keep the law; a script of plain torch shows each row."""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Collection

from optbench import registry, subjects
from optbench.runs.results import Result

from ._row import Deviation
from .autograd import ROWS as AUTOGRAD
from .averages import ROWS as AVERAGES
from .counts import ROWS as COUNTS
from .dropin import ROWS as DROP_IN
from .edges import ROWS as EDGES
from .math import ROWS as MATH
from .optimizers import ROWS as OPTIMIZERS
from .resuming import ROWS as RESUMING
from .schedulers import ROWS as SCHEDULERS
from .state import ROWS as STATE

# What the scripts were written for.
TORCH = "2.13"

_ROWS: tuple[Deviation, ...] = (
    *OPTIMIZERS,
    *AVERAGES,
    *SCHEDULERS,
    *RESUMING,
    *STATE,
    *MATH,
    *DROP_IN,
    *AUTOGRAD,
    *EDGES,
    *COUNTS,
)
# In the order of their ids, whichever file they stand in.
TABLE = tuple(sorted(_ROWS, key=lambda row: row.id))


def explain(result: Result, inherits: Collection[str] = ()) -> Deviation | None:
    """The row that accounts for a broken law, if there is one: of several the one that says most about law and failure.

    Args:
        result: what was broken.
        inherits: the methods that foreign code has from torch.optim.Optimizer.
    """
    fitting = (
        row
        for row in TABLE
        if _any(row.subjects, result.subject)
        and _any(row.laws, result.law)
        and (_any(row.implementations, result.implementation) or row.inherited in inherits)
        and (not row.cases or any(_all(texts, result.case) for texts in row.cases))
        and row.says in result.message
    )
    return max(fitting, key=lambda row: (result.law in row.laws.split(), _said(row, result.case), len(row.says)),
               default=None)  # fmt: skip


def _said(row: Deviation, case: str) -> int:
    """How much a row says of a case."""
    return max((len(texts) for texts in row.cases if _all(texts, case)), default=0)


def selection(row: Deviation) -> tuple[str, str, str, str]:
    """What shows a row: an algorithm, an implementation, a law (or a glob of some), and the `-k` of its cases."""
    algorithm, implementation = (
        next(name for glob in globs.split() for name in known if fnmatch.fnmatchcase(name, glob))
        for globs, known in ((row.subjects, subjects.NAMES), (row.implementations, registry.IMPLEMENTATIONS))
    )
    return algorithm, implementation, row.laws.split()[0], " and ".join(row.cases[0].split()) if row.cases else ""


def command(row: Deviation) -> str:
    """The command that shows a row.

    Example:
        >>> command(TABLE[2])
        'optbench check --algo adagrad --impl torch-fused --law opt.version'
    """
    algorithm, implementation, law, keyword = selection(row)
    words = ["optbench", "check", "--algo", algorithm, "--impl", implementation, "--law", law]
    return shlex.join([*words, *(["-k", keyword] if keyword else [])])


def _any(globs: str, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs.split())


def _all(texts: str, case: str) -> bool:
    return all(text in case for text in texts.split())
