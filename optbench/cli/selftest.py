"""`optbench selftest`: is every seeded fault caught?"""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.errors import EXIT_BROKEN

from . import options
from .options import Suite
from .terminal import ProgressLine, note, width, wrap

if TYPE_CHECKING:
    from optbench.selftest import Outcome


class SelftestFormat(StrEnum):
    table = "table"
    json = "json"


def selftest(
    suite: options.SuiteOption = Suite.quick,
    seed: options.Seed = 0,
    format: Annotated[SelftestFormat, typer.Option("--format", "-f", help="How it is written.")] = SelftestFormat.table,
) -> None:
    """Plant faults in our own tiers and look whether the laws catch each, and name the right quantity.

    Example: optbench selftest
    """
    from optbench.selftest import run

    line = ProgressLine()
    outcomes = []
    try:
        for outcome in run(suite.value, seed, lambda now: line.show(now.doing, now.done, now.total)):
            line.clear()
            outcomes.append(outcome)
            if format == SelftestFormat.table:
                _print(outcome)
    except KeyboardInterrupt:
        line.clear()
        note(f"{len(outcomes)} faults and controls were looked at.")
        raise
    line.clear()
    if format == SelftestFormat.json:
        print(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes], indent=1))
    else:
        print(sentence(outcomes))
    if not outcomes or not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(EXIT_BROKEN)


def sentence(outcomes: list[Outcome]) -> str:
    """What it comes to, in one line."""
    faults = [outcome for outcome in outcomes if outcome.expected]
    controls = [outcome for outcome in outcomes if not outcome.expected]
    missed = [outcome for outcome in outcomes if not outcome.ok]
    if not faults:
        return "BROKEN: no fault was planted."
    if missed:
        first = missed[0]
        what = "was not caught as expected" if first.expected else "breaks a law although nothing was planted"
        return f"BROKEN: {len(missed)} of {len(outcomes)}; first: {first.fault} {what}."
    return f"OK: all {len(faults)} faults are caught and named, and {len(controls)} unmutated controls pass."


def _print(outcome: Outcome) -> None:
    symbol = "✓" if outcome.ok else "✗"
    if not outcome.expected:
        said = "no law broke" if outcome.ok else f"{outcome.caught_by}[{outcome.case}] broke: {outcome.message}"
    elif outcome.caught_by:
        said = f"{outcome.caught_by}[{outcome.case}]: {outcome.message}"
        if not outcome.ok:
            said = f"expected {outcome.expected}, or another quantity named; caught by {said}"
    else:
        said = f"no law caught it; expected {outcome.expected}"
    print(wrap(f"{symbol} {outcome.fault}: {said}", width(), "  "))
