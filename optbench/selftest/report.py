"""What a self-test comes to: by hand, by operator, by subject and by law; what survived in full; a sentence."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import necessity
from .asking import expected_laws
from .outcome import BY_HAND, CONTROL, Outcome, needed

SCHEMA = "optbench.selftest/1"


@dataclass(frozen=True)
class Report:
    """The outcomes of a run.

    Args:
        outcomes: of faults and controls.
        stale: what is listed as equivalent, but is no mutant any more.
        whole: nothing was left out by name, so that what no fault needs can be told.
        planned: how many there would have been, of a run that was ended early; None of one that came to its end.
    """

    outcomes: Sequence[Outcome]
    stale: Sequence[str] = ()
    whole: bool = True
    planned: int | None = None

    @property
    def faults(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.operator != CONTROL]

    @property
    def controls(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.operator == CONTROL]

    @property
    def missed(self) -> list[Outcome]:
        """What is not as it has to be."""
        return [outcome for outcome in self.outcomes if not outcome.ok]

    @property
    def ok(self) -> bool:
        return self.planned is None and bool(self.faults) and not self.missed

    @property
    def needed(self) -> dict[str, list[str]]:
        """For each law the faults that it alone sees."""
        return needed(self.outcomes, expected_laws())

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "outcomes": [outcome.to_json() for outcome in self.outcomes],
            "laws": self.needed,
            "stale": list(self.stale),
            "ok": self.ok,
            "sentence": self.sentence(),
        }

    def lines(self, columns: int) -> Iterator[str]:
        """The report for a terminal of so many columns; the sentence is not in it."""
        yield from _table("fault", [outcome for outcome in self.faults if outcome.operator == BY_HAND], columns)
        made = [outcome for outcome in self.faults if outcome.operator != BY_HAND]
        yield from _counts("operator", made, lambda outcome: outcome.operator)
        yield from _counts("subject", made, lambda outcome: outcome.subject)
        yield from self._laws(columns)
        for outcome in self.missed:
            yield from textwrap.wrap(f"✗ {_said(outcome)}", columns, subsequent_indent="    ")
        for outcome in self.faults:
            if outcome.listed and outcome.status == "caught":
                text = f"⚠ listed as equivalent, but caught: {_said(outcome)}"
                yield from textwrap.wrap(text, columns, subsequent_indent="    ")
        for pattern in self.stale:
            text = f"⚠ listed as equivalent, but no mutant any more: {pattern}"
            yield from textwrap.wrap(text, columns, subsequent_indent="    ")

    def _laws(self, columns: int) -> Iterator[str]:
        """Each law, and a fault that would live without it."""
        if not self.whole or all(outcome.also_by is None for outcome in self.faults):
            return
        first = Counter(outcome.caught_by for outcome in self.faults if outcome.caught_by)
        because = necessity.not_shown()
        yield f"{'law':<22} {'first to see':>12}  alone sees"
        for law, faults in self.needed.items():
            alone = faults[0] + (f" and {len(faults) - 1} more" if len(faults) > 1 else "") if faults else "nothing"
            alone += f": {because[law]}" if law in because and not faults else ""
            yield f"{law:<22} {first[law]:>12}  {alone}"[:columns]
        yield ""

    def sentence(self) -> str:
        """What it comes to, in one line."""
        if self.planned is not None:
            named = f"; first: {self.missed[0].fault}" if self.missed else ""
            looked_at = f"{len(self.outcomes)} of {self.planned} faults and controls were looked at"
            return f"INTERRUPTED: {looked_at}; {len(self.missed)} are not as they should be{named}."
        if not self.faults:
            return "BROKEN: no fault was planted."
        status = Counter(outcome.status for outcome in self.faults)
        counted = (
            f"{status['caught']} of {len(self.faults)} faults are caught and named, {status['equivalent']} are "
            f"equivalent, {status['survived']} survive; {len(self.controls)} controls"
        )
        if self.missed:
            first = self.missed[0]
            return f"BROKEN: {counted}. {len(self.missed)} are not as they should be; first: {first.fault}."
        laws = self.needed
        asked = self.whole and any(outcome.also_by is not None for outcome in self.faults)
        shown = f"; {sum(map(bool, laws.values()))} of {len(laws)} laws are shown to be needed" if asked else ""
        return f"OK: {counted} pass{shown}."


def _said(outcome: Outcome) -> str:
    caught = f"{outcome.caught_by}[{outcome.case}]: {outcome.message}" if outcome.caught_by else outcome.message
    if outcome.operator == CONTROL:
        return f"{outcome.fault}: breaks although nothing was planted: {caught}"
    if outcome.status == "survived":
        return f"{outcome.fault}: survived" + (f"; expected {outcome.expected}" if outcome.expected else "")
    if outcome.status == "misnamed":
        return f"{outcome.fault}: expected {outcome.expected}, or another quantity; caught by {caught}"
    return f"{outcome.fault}: {caught}"


def _table(title: str, outcomes: Sequence[Outcome], columns: int) -> Iterator[str]:
    """A line a fault: the law that caught it, and what was wrong first."""
    if not outcomes:
        return
    wide = max(len(outcome.fault) for outcome in outcomes)
    law = max(len(outcome.caught_by) for outcome in outcomes)
    yield f"  {title:<{wide}} {'law':<{law}} wrong first"[:columns]
    for outcome in outcomes:
        symbol = "✓" if outcome.ok else "✗"
        yield f"{symbol} {outcome.fault:<{wide}} {outcome.caught_by or '-':<{law}} {outcome.quantity}"[:columns]
    yield ""


def _counts(title: str, outcomes: Sequence[Outcome], key: Callable[[Outcome], str]) -> Iterator[str]:
    """How many of each kind are caught, by how many laws, and how many are not."""
    if not outcomes:
        return
    yield f"{title:<27} {'faults':>7} {'caught':>7} {'equivalent':>11} {'survive':>8} {'laws':>5}"
    for kind in sorted({key(outcome) for outcome in outcomes}):
        mine = [outcome for outcome in outcomes if key(outcome) == kind]
        status = Counter(outcome.status for outcome in mine)
        laws = len({outcome.caught_by for outcome in mine if outcome.caught_by})
        counted = f"{len(mine):>7} {status['caught']:>7} {status['equivalent']:>11} {status['survived']:>8} {laws:>5}"
        yield f"{kind:<27} {counted}"
    yield ""
