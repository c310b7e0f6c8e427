"""What became of a fault. Plain data, needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from optbench.runs.results import Result

Status = Literal["caught", "misnamed", "survived", "equivalent", "passes", "breaks"]
# What is as it has to be.
GOOD: frozenset[Status] = frozenset({"caught", "equivalent", "passes"})
CONTROL, BY_HAND = "control", "by hand"


@dataclass(frozen=True)
class Outcome:
    """What became of a fault, or of a control.

    Args:
        fault: its id; "control: tier subject" for an unmutated tier.
        operator: what made it; "by hand", or "control".
        what: the fault in a line; for an equivalent mutant why no law can see it.
        shipped_in: where this fault was released, "" where it is synthetic.
        subject, tier: what was mutated.
        expected: the law that has to catch it; "" where any may.
        status: "caught"; "misnamed" by a law or with a quantity that was not expected; "survived"; "equivalent" where
            that is listed; of a control "passes" or "breaks".
        caught_by: the law that did, "" where none did.
        case: the case that showed it.
        quantity: what was wrong first.
        message: the law's message.
        also_by: the other laws that see it; None where they were not all asked.
        listed: it is listed as an equivalent mutant.
    """

    fault: str
    operator: str
    what: str
    shipped_in: str
    subject: str
    tier: str
    expected: str
    status: Status
    caught_by: str = ""
    case: str = ""
    quantity: str = ""
    message: str = ""
    also_by: tuple[str, ...] | None = None
    listed: bool = False

    @property
    def ok(self) -> bool:
        return self.status in GOOD

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ok": self.ok}


def told(result: Result | None) -> dict[str, Any]:
    """What a broken law says of a fault, as fields of an outcome."""
    if result is None:
        return {}
    finding = result.finding or {}
    quantity = finding.get("quantity") or result.message.partition(":")[0]
    if finding.get("parameter") is not None and finding["quantity"] != "parameter":
        quantity = f"{quantity} of {finding['parameter']}"
    return {"caught_by": result.law, "case": result.case, "quantity": quantity, "message": result.message}


def needed(outcomes: Iterable[Outcome], laws: Iterable[str]) -> dict[str, list[str]]:
    """For each law the faults that it alone sees, among those of which every law was asked."""
    found: dict[str, list[str]] = {law: [] for law in laws}
    for outcome in outcomes:
        if outcome.also_by == () and outcome.caught_by in found:
            found[outcome.caught_by].append(outcome.fault)
    return found
