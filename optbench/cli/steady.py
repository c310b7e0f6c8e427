"""`optbench bench --steady`: figures without a clock, and whether they are those that are kept."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from optbench.errors import EXIT_BROKEN, NothingToRun, UsageError
from optbench.runs.kept import CALLS, FIGURES, Change, Figures

from .options import Format
from .tables import grid
from .terminal import ProgressLine, note

_HEADERS = ("ops", "launches", "bytes moved", "temporary", "state", "host calls")
# A summary of a job that is longer than this is cut off.
_MOST_TOLD = 200


def steady(algo: str, impl: Sequence[str], against: Path | None, format: Format, output: str, seed: int) -> None:
    """Count, compare with what is kept, and write.

    Raises:
        UsageError, NothingToRun: as `optbench.runs.kept` says.
        typer.Exit: with status 1 where a figure is worse than it was kept.
    """
    from optbench import subjects
    from optbench.runs import kept

    if format == Format.junit:
        raise UsageError("--format junit tells about laws, and --steady checks none: write table, json or github.")
    if seed:
        raise UsageError("--seed means nothing beside --steady, whose figures are always of the same values.")
    chosen = subjects.select(algo)
    before = kept.read(against) if against else None
    line = ProgressLine()
    line.show("importing torch")
    from optbench.timing import steady as counting

    versions = counting.versions()
    names: Sequence[str] = FIGURES
    if before and against:
        names = kept.comparable(against, before[0], versions)
    among = counting.implementations(impl)
    rows = counting.collect(
        chosen, among, lambda now: line.show(f"{now.subject} {now.implementation}", now.done, now.total)
    )
    found = kept.figures(row.to_json() for row in rows)
    line.clear()
    if not found:
        raise NothingToRun(f"none of {', '.join(each.name for each in among)} has {algo}.")
    about = {(subject.name, each.name) for subject in chosen for each in among}
    changes = kept.compare(before[1], found, about, names) if before else []
    sentence, failed = told(changes, len(found), against)
    if before and CALLS not in names:
        note(f"host calls are not compared: kept of Python {before[0].get('python')}, this is {versions['python']}.")
    if format == Format.json and output != "-":
        kept.write(Path(output), versions, found)
    else:
        text = _text(format, versions, found, changes, sentence, against is not None)
        _put(text, output)
    if format != Format.table or output != "-":
        note(sentence)
    if failed:
        raise typer.Exit(EXIT_BROKEN)


def told(changes: Sequence[Change], rows: int, against: Path | None) -> tuple[str, bool]:
    """The last line, and whether the gate fails."""
    if against is None:
        return f"OK: {rows} steps counted.", False
    failing = [change for change in changes if change.fails]
    better = len(changes) - len(failing)
    renew = f"To keep today's: optbench bench --algo all --steady --format json -o {shlex.quote(str(against))}"
    if failing:
        where = len({change.row for change in failing})
        return f"WORSE: {len(failing)} figures of {where} steps are not as they are kept in {against}. {renew}", True
    if better:
        return f"OK: {rows} steps, no figure is worse than it is kept, {better} are better. {renew}", False
    return f"OK: {rows} steps, every figure is as it is kept in {against}.", False


def _text(
    format: Format, versions: dict[str, str], found: Figures, changes: Sequence[Change], sentence: str, compared: bool
) -> str:
    if format == Format.json:
        value = {"versions": versions, "figures": found, "changes": [vars(change) for change in changes]}
        return json.dumps(value, indent=1) + "\n"
    listed = [str(change) for change in changes[:_MOST_TOLD]]
    if len(changes) > _MOST_TOLD:
        listed.append(f"and {len(changes) - _MOST_TOLD} more")
    if format == Format.github:
        return "\n".join([f"**{sentence}**", "", *(f"- {change}" for change in listed)]) + "\n"
    lines = listed if compared else _table(found)
    return "\n".join([*lines, *([""] if lines else []), sentence]) + "\n"


def _table(found: Figures) -> list[str]:
    rows = [("", *_HEADERS), *((name, *(f"{row[figure]:,}" for figure in FIGURES)) for name, row in found.items())]
    return grid(rows, right=range(1, len(rows[0])))


def _put(text: str, output: str) -> None:
    from optbench.runs.strict_json import write_text

    if output == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(Path(output), text)
