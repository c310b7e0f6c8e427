"""`optbench diff`: two records, and what got worse between them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .terminal import coloured, note, width

if TYPE_CHECKING:
    from optbench.runs.difference import Difference


class DiffFormat(StrEnum):
    table = "table"
    json = "json"
    github = "github"


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="The record to compare with, or its run's journal.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The record that is judged.")],
    threshold: Annotated[
        str,
        typer.Option("--threshold", "-t", metavar="PART",
                     help="How much more time a step may take: 10% or 0.1. Counted figures and laws are exact."),
    ] = "10%",
    force: Annotated[
        bool, typer.Option("--force", help="Compare across machines and versions of torch too, and mark it.")
    ] = False,
    format: Annotated[
        DiffFormat, typer.Option("--format", "-f", help="How it is written; github: Markdown for a job's summary.")
    ] = DiffFormat.table,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where it goes; `-` is standard output.")
    ] = "-",
) -> None:  # fmt: skip
    """Compare two records, regressions first: ratios to torch's path, counted figures, verdicts of laws.

    Exit status 1 is a regression of what B judges: a law newly broken, a counted figure that rose, a ratio that fell
    significantly and beyond the threshold, or a wrong result where there was a time.

    Example: optbench diff main.json mine.json
    """
    from optbench.runs.diff import compare
    from optbench.runs.strict_json import write_text

    found = compare(before, after, part(threshold), force)
    to_screen = output == "-"
    text = _written(found, format, *((width(), coloured(sys.stdout)) if to_screen else (80, False)))
    if to_screen:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(Path(output), text)
    if format != DiffFormat.table or not to_screen:
        note(found.sentence)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def part(text: str) -> float:
    """A threshold as it is written: "10%" or "0.1".

    Raises:
        UsageError: it is no such thing; "10" could mean either, and is refused.
    """
    from optbench.errors import UsageError

    percent = text.strip().endswith("%")
    try:
        value = float(text.strip().removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        raise UsageError(f"--threshold {text!r} is no part: write 10% or 0.1.") from None
    if not 0 <= value < float("inf") or (value > 1 and not percent):
        raise UsageError(f"--threshold {text!r} is no part: write 10% or 0.1.")
    return value


def _written(found: Difference, format: DiffFormat, columns: int, colour: bool) -> str:
    import json

    from . import differences

    if format == DiffFormat.json:
        return json.dumps(found.to_json(), ensure_ascii=False, indent=1) + "\n"
    if format == DiffFormat.github:
        return differences.markdown(found)
    return differences.table(found, columns, colour)
