"""`optbench bench --calibrate`: how far the timer can be trusted on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from optbench.errors import EXIT_BROKEN, UsageError

from .options import Format
from .tables import grid
from .terminal import ProgressLine, note

_DEFAULT = "fused"


def calibrate(algo: str, impl: Sequence[str], format: Format, output: str, seed: int) -> None:
    """Race one implementation's step against itself, plain and slowed down; keep and write what came of it.

    Raises:
        UsageError: several algorithms or implementations, or one that is no optimizer.
        typer.Exit: with status 1 where the timer is not to be trusted.
    """
    from optbench import registry, subjects
    from optbench.runs import trust

    if format not in (Format.table, Format.json):
        raise UsageError(f"--format {format.value} means nothing beside --calibrate: write table or json.")
    chosen = subjects.select(algo)
    if len(chosen) != 1 or len(impl) > 1:
        raise UsageError("--calibrate times one step against itself: name one algorithm and one implementation.")
    if chosen[0].ground != "optimizer" or chosen[0].closure:
        raise UsageError(f"--calibrate needs an elementwise optimizer, such as adam; {algo} is none.")
    implementation = registry.find(impl[0] if impl else _DEFAULT)
    line = ProgressLine()
    line.show("importing torch")
    from optbench.runs.environment import collect
    from optbench.timing import calibration, trial_runs

    environment = collect(seed, "cpu")
    found = trial_runs.curves(
        chosen[0], implementation, seed=seed,
        progress=lambda workload, run: line.show(f"{workload} run", run + 1, calibration.RUNS),
    )  # fmt: skip
    line.clear()
    curves = [curve.to_json() for curve in found]
    path = trust.keep(environment, curves)
    sentence = told(curves)
    if format == Format.json:
        text = json.dumps({"environment": environment, "curves": curves}, indent=1) + "\n"
    else:
        text = "\n".join([*table(curves), "", f"Kept: {path}", sentence]) + "\n"
    if output == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        from optbench.runs.strict_json import write_text

        write_text(Path(output), text)
    if format != Format.table or output != "-":
        note(f"kept: {path}")
        note(sentence)
    if not all(curve["trusted"] for curve in curves):
        raise typer.Exit(EXIT_BROKEN)


def table(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row for each workload and slowdown."""
    rows = [("workload", "planted", "measured", "alarms", "confirmed")]
    for curve in curves:
        for row in curve["slowdowns"]:
            median = "–" if row["median"] is None else f"{row['median']:+.1%}"
            planted = f"{row['slowdown']:.0%}" if row["slowdown"] else "none"
            of = curve["runs"]
            rows.append((curve["workload"], planted, median, f"{row['once']} of {of}", f"{row['twice']} of {of}"))
    return grid(rows, right=range(1, 5))


def told(curves: Sequence[Mapping[str, Any]]) -> str:
    """The last line."""
    worst = [curve for curve in curves if not curve["trusted"]]
    errors = ", ".join(
        f"{'unknown' if curve['error'] is None else format(curve['error'], '.1%')} on {curve['workload']}"
        for curve in curves
    )
    gate = f"{curves[0]['gate']:.0%}"
    if worst:
        names = " and ".join(curve["workload"] for curve in worst)
        return f"NOT TRUSTED on {names}: A/A error {errors} (90th percentile); see the gate for {gate} above."
    return f"OK: A/A error {errors} (90th percentile); the gate for {gate} raised no false alarm."
