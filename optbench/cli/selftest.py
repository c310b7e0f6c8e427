"""`optbench selftest`: is every fault caught, and which laws are needed for it?"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.errors import EXIT_BROKEN, EXIT_INTERRUPTED

from . import options
from .options import Suite
from .terminal import ProgressLine, note, width

if TYPE_CHECKING:
    from optbench.conformance import Progress
    from optbench.selftest import Outcome


class SelftestFormat(StrEnum):
    table = "table"
    json = "json"


def selftest(
    algo: options.Algo = "all",
    suite: options.SuiteOption = Suite.quick,
    keyword: Annotated[
        str, typer.Option("-k", metavar="EXPR", help="Only faults whose id fits: words, and, or, not.")
    ] = "",
    seed: options.Seed = 0,
    format: Annotated[SelftestFormat, typer.Option("--format", "-f", help="How it is written.")] = SelftestFormat.table,
) -> None:
    """Plant faults in our own tiers and look whether the laws catch each, and name what is wrong.

    Example: optbench selftest -k 'adam and drop-term'
    """
    from optbench.selftest import report, run, stale

    everything = algo == "all" and not keyword
    line = ProgressLine()
    outcomes: list[Outcome] = []
    planned, ended = 0, True

    def show(now: Progress) -> None:
        nonlocal planned
        planned = now.total
        line.show(now.doing, now.done, now.total)

    try:
        for outcome in run(suite.value, seed, show, algo, keyword):
            outcomes.append(outcome)
            if not outcome.ok:
                line.clear()
                note(f"{outcome.fault}: {outcome.status}")
    except KeyboardInterrupt:
        if not outcomes:
            raise
        ended = False
    line.clear()
    whole = everything and ended
    told = report.Report(outcomes, stale() if whole else [], whole, None if ended else planned)
    if format == SelftestFormat.json:
        print(json.dumps(told.to_json(), indent=1))
    else:
        for text in told.lines(width()):
            print(text)
        print(told.sentence())
    if not ended:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not told.ok:
        raise typer.Exit(EXIT_BROKEN)
