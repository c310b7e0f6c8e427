"""`optbench report`: records into one HTML file."""

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

    Example: optbench report .optbench/runs/*.json -o report.html
    """
    from optbench.records import read, write_text

    read_records = [read(path) for path in records]
    html = render(read_records, [path.stem for path in records])
    if output == "-":
        sys.stdout.write(html)
        return
    write_text(Path(output), html)
    print(output)


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
