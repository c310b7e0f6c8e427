"""`optbench selftest`: is every fault caught, and which laws are needed for it?"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from optbench.errors import EXIT_BROKEN

from . import options
from .options import Suite
from .terminal import ProgressLine, note, width


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
    outcomes = []
    try:
        for outcome in run(suite.value, seed, lambda now: line.show(now.doing, now.done, now.total), algo, keyword):
            outcomes.append(outcome)
    except KeyboardInterrupt:
        line.clear()
        note(f"{len(outcomes)} faults and controls were looked at.")
        raise
    line.clear()
    told = report.Report(outcomes, stale() if everything else [], everything)
    if format == SelftestFormat.json:
        print(json.dumps(told.to_json(), indent=1))
    else:
        for text in told.lines(width()):
            print(text)
        print(told.sentence())
    if not told.ok:
        raise typer.Exit(EXIT_BROKEN)
