"""What two run records come to: rows, the sentence, the exit status. Plain data; importing this needs no torch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from optbench.errors import EXIT_BROKEN, EXIT_OK
from optbench.runs.strict_json import to_plain

SCHEMA = "optbench.diff/1"
Kind = Literal["law", "timed", "figure", "time"]
_KINDS: tuple[Kind, ...] = ("law", "timed", "figure", "time")
# What a reader wants to see first.
_ORDER = ("worse", "slower", "changed", "unsure", "better", "faster", "same")


@dataclass(frozen=True)
class Row:
    """One thing that both records tell, before and after.

    Args:
        kind: "law": a verdict; "timed": whether it was timed at all; "figure": a counted figure; "time": a ratio.
        subject: the algorithm.
        implementation: as the records name it.
        where: the law's case, or workload, dtype and device.
        what: the law, the figure, or what the ratios are over.
        before, after: a verdict, a figure, or the speed relative to `what`; None where a record has none.
        change: after / before; of a time, above 1 is faster now.
        low, high: the interval of a time's change: those of all judged times hold together at 95%.
        verdict: of a time "faster", "slower", "same" or "unsure"; else "better", "worse", "changed" or "same".
        regression: whether it changes the exit status.
        note: why, where that is not plain.
    """

    kind: Kind
    subject: str
    implementation: str
    where: str
    what: str
    before: str | float | None
    after: str | float | None
    verdict: str
    change: float | None = None
    low: float | None = None
    high: float | None = None
    regression: bool = False
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """What two records come to.

    Args:
        rows: what both tell, regressions first.
        only_before, only_after: what only one of them tells, in words.
        marks: what a reader has to know before believing a row.
        threshold: the slowdown from which on a significant one is a regression; 0.1 is 10% more time a step.
    """

    rows: tuple[Row, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    marks: tuple[str, ...]
    threshold: float

    @property
    def regressions(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.regression)

    @property
    def exit_status(self) -> int:
        return EXIT_BROKEN if self.regressions else EXIT_OK

    @property
    def sentence(self) -> str:
        """What it comes to, in one line."""
        kinds = Counter(str(row.kind) for row in self.rows)
        verdicts = Counter(row.verdict for row in self.rows if row.kind == "time")
        counted = [
            f"{kinds[kind]} {noun}" if kinds[kind] == 1 else f"{kinds[kind]:,} {noun}s"
            for kind, noun in (("time", "ratio"), ("figure", "figure"), ("law", "verdict"))
            if kinds[kind]
        ]
        said = f"{', '.join(counted)} compared"
        if verdicts:
            said += f"; of the ratios {', '.join(f'{verdicts[name]} {name}' for name in _ORDER if verdicts[name])}"
        found = self.regressions
        if not found:
            return f"OK: no regression beyond {self.threshold * 100:g}%: {said}."
        number = "1 regression" if len(found) == 1 else f"{len(found)} regressions"
        return f"BROKEN: {number}; first: {describe(found[0])}. {said}."

    def to_json(self) -> dict[str, Any]:
        """One object for JSON, `optbench.diff/1`."""
        told = {name: getattr(self, name) for name in ("sentence", "exit_status")}
        plain: dict[str, Any] = to_plain({"schema": SCHEMA, **dataclasses.asdict(self), "summary": told})
        return plain


def describe(row: Row) -> str:
    """A row in words.

    Example:
        >>> describe(Row("figure", "adam", "fused", "1000x64, float32 on cpu", "dispatched ops", 2, 3, "worse"))
        'adam fused, 1000x64, float32 on cpu: dispatched ops 2 → 3'
    """
    at = f"{row.subject} {row.implementation}"
    note = f" ({row.note})" if row.note else ""
    if row.kind == "law":
        return f"{at}: {row.what}[{row.where}] {row.before} → {row.after}{note}"
    if row.kind != "time":
        return f"{at}, {row.where}: {row.what} {number(row.before)} → {number(row.after)}{note}"
    both = f"{times(row.before)} → {times(row.after)} the speed of {row.what}"
    return f"{at}, {row.where}: {both}, {interval(row)}, {row.verdict}{note}"


def number(value: str | float | None) -> str:
    """A figure with all its digits: figures are exact."""
    return "–" if value is None else value if isinstance(value, str) else f"{value:,}"


def times(value: str | float | None) -> str:
    """A ratio of speeds."""
    return f"{value:.3g}x" if isinstance(value, int | float) else "–"


def interval(row: Row) -> str:
    """A time's change with its interval: "×0.83 [0.80, 0.86]"."""
    return "–" if row.change is None else f"×{row.change:.2f} [{row.low:.2f}, {row.high:.2f}]"


def rank(row: Row) -> tuple[Any, ...]:
    """Where a row stands: regressions first, the worst of each kind before the others."""
    worst = row.change or 1.0
    return (
        not row.regression, _ORDER.index(row.verdict), _KINDS.index(row.kind), worst if row.kind == "time" else -worst,
        row.subject, row.implementation, row.what, row.where,
    )  # fmt: skip
