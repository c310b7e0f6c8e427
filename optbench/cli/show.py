"""`optbench show`: one algorithm or one law, in full."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import _algos, _laws
from .terminal import width, wrap

if TYPE_CHECKING:
    from optbench.subjects import Subject


class Source(StrEnum):
    reference = "reference"
    foreach = "foreach"
    fused = "fused"


_FILES = {"reference": "reference/{}.py", "foreach": "impls/foreach/{}.py", "fused": "impls/fused/{}.py"}


def _names(incomplete: str) -> list[str]:
    return [*_algos(incomplete), *_laws(incomplete)]


def show(
    name: Annotated[str, typer.Argument(metavar="ALGORITHM|LAW", autocompletion=_names, help="adam, or opt.layouts.")],
    source: Annotated[Source | None, typer.Option("--source", "-s", help="Print the file of that tier.")] = None,
) -> None:
    """Show an algorithm's rule, papers, options, state and source; or a law and why it is there.

    Example: optbench show adam --source reference
    """
    from optbench import laws, subjects
    from optbench.errors import UsageError, unknown

    everything = laws.entries()
    if name in everything:
        if source:
            raise UsageError(f"--source {source.value}: a law has no such source; its file is optbench/laws/.")
        _show_law(name)
    elif name.lower() in subjects.NAMES:
        subject = subjects.load(name.lower())
        if source:
            sys.stdout.write(source_path(subject.name, source.value).read_text(encoding="utf-8"))
        else:
            _show_subject(subject)
    else:
        raise unknown("algorithm or law", name, [*subjects.NAMES, *everything], "optbench list")


def source_path(algorithm: str, tier: str) -> Path:
    """The file of an algorithm in a tier, found without importing it.

    Raises:
        UsageError: the tier has no such file.
    """
    import optbench
    from optbench.errors import UsageError

    relative = _FILES[tier].format(algorithm)
    for folder in optbench.__path__:
        path = Path(folder) / relative
        if path.is_file():
            return path
    raise UsageError(f"the {tier} tier has no {algorithm}.")


def _show_law(name: str) -> None:
    from optbench.laws import entries

    law = entries()[name].law
    judged = "a grade: reported, never broken" if law.grade else "judged"
    print(wrap(f"{law.id}: {law.statement}.", width()))
    print()
    for key, value in {"level": law.level, "catches": law.catches, "since": law.since, "verdict": judged}.items():
        print(wrap(f"{key:<9} {value}", width(), " " * 10))


def _show_subject(subject: Subject) -> None:
    columns = width()
    print(wrap(f"{subject.class_name}: {subject.summary}", columns))
    print()
    rule = subject.rule.splitlines()
    indent = " " * max(0, min(4, columns - max(map(len, rule))))
    print("\n".join(indent + line for line in rule))
    print("\nPapers")
    for paper in subject.papers:
        print(wrap(f"  {paper.authors}. {paper.title}, {paper.year}. {paper.url}", columns, "    "))
    print("\nOptions")
    longest = max(len(option.name) for option in subject.options)
    for option in subject.options:
        text = f"  {option.name:<{longest}}  {option.default!s:<12}  {option.meaning} ({option.legal})"
        print(wrap(text, columns, " " * (longest + 18)))
    print("\nState")
    kept = max((len(entry.name) for entry in subject.state), default=0)
    for entry in subject.state:
        when = f", if {entry.when}" if entry.when else ""
        shape = "like the parameter" if entry.per_element else "one number"
        print(wrap(f"  {entry.name:<{kept}}  {entry.meaning}{when} ({shape})", columns, " " * (kept + 4)))
    print("\nSource")
    for tier in _FILES:
        print(f"  optbench show {subject.name} --source {tier}")
