"""`optbench report`: records into one HTML file, or their figures into Markdown tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    records: Annotated[
        list[Path], typer.Argument(metavar="RECORD…", help="Records, or journals of runs that did not end.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The report; `-` is standard output.")],
) -> None:
    """Turn run records into one HTML file that needs no network and no JavaScript.

    A FILE that ends in .md takes Markdown tables instead: timings, or verdicts where nothing was timed.

    Example: optbench report .optbench/runs/*.json -o report.html
    """
    from optbench.runs.records import read, write_text

    read_records = [read(path) for path in records]
    names = [path.stem for path in records]
    text = render_markdown(read_records) if output.endswith(".md") else render(read_records, names)
    if output == "-":
        sys.stdout.write(text)
        return
    write_text(Path(output), text)
    print(output)


def render_markdown(records: list[dict[str, object]]) -> str:
    """The timings as Markdown, or the verdicts where nothing was timed.

    Raises:
        NothingToRun: a package that reports need is missing, or nothing was timed or judged.
    """
    from optbench.errors import NothingToRun

    try:
        from optbench.reports import verdicts
        from optbench.reports.markdown import render as render_tables
    except ImportError as error:
        raise NothingToRun(f"the report needs {error.name}, which is not installed here.") from error
    text = render_tables(records) or "\n\n".join(filter(None, map(verdicts.render, records)))
    if not text:
        raise NothingToRun("these records hold no timings or verdicts: `optbench compare` makes both.")
    return text


def render(records: list[dict[str, object]], names: list[str]) -> str:
    """The report's HTML.

    Raises:
        NothingToRun: a package that draws it is missing.
    """
    from optbench.errors import NothingToRun

    try:
        from optbench.reports.html import render as render_html
    except ImportError as error:
        raise NothingToRun(f"the report needs {error.name}, which is not installed here.") from error
    return render_html(records, names)


def render_deviations() -> str:
    """The table of deviations as a Markdown page.

    Raises:
        NothingToRun: a package that reports need is missing.
    """
    from dataclasses import asdict

    from optbench.deviations import MEANINGS, TABLE, TORCH, command
    from optbench.errors import NothingToRun

    try:
        from optbench.reports.deviations import render as render_page
    except ImportError as error:
        raise NothingToRun(f"the page needs {error.name}, which is not installed here.") from error
    return render_page([{**asdict(row), "command": command(row)} for row in TABLE], MEANINGS, TORCH)
