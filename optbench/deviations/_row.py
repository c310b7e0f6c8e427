"""A row of the table of deviations. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What a reader has to know first, the worst first. A convention is a difference that nobody is wrong about.
Effect = Literal[
    "memory damaged",
    "wrong result",
    "input changed",
    "state lost",
    "raises",
    "digits lost",
    "no warning",
    "convention",
]
MEANINGS: dict[str, str] = {
    "memory damaged": "memory is written that belongs to somebody else, or read before anybody wrote it",
    "wrong result": "a parameter, its state, a rate or an average is wrong, and nothing tells",
    "input changed": "what the caller handed over, or still owns, is changed",
    "state lost": "what was set or learnt before is gone",
    "raises": "an exception where there is a result, mostly in the middle of a run",
    "digits lost": "right, with fewer digits than the type has",
    "no warning": "a check that is documented is not made",
    "convention": "a documented limit, or another choice: no finding",
}


@dataclass(frozen=True)
class Deviation:
    """One thing that torch does otherwise than the law says.

    Args:
        id: stable, "D-001".
        subjects, laws, implementations: globs, separated by blanks; the first ones show it.
        torch_does: one line.
        ours: one line.
        script: at most ten lines of plain torch; its last line asserts what torch does.
        effect: its class.
        proof: one or two sentences: what shows torch to be wrong, or that this is a convention; line ends do not count.
        cases: each a few texts that a case's id contains together; one of them is enough; empty: any case.
        says: what the failure's message contains, so that another failure of the same cases is not taken for this one.
        upstream: the issue upstream, if one is known, "pytorch#191763".
        inherited: the method of torch.optim.Optimizer that does it: to foreign code too, which inherits it.
    """

    id: str
    subjects: str
    laws: str
    implementations: str
    torch_does: str
    ours: str
    script: str
    effect: Effect
    proof: str
    cases: tuple[str, ...] = ()
    says: str = ""
    upstream: str = ""
    inherited: str = ""
