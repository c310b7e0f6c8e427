"""`optbench show`: one algorithm or one law, in full."""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import deviations
from .options import _algos, _laws
from .terminal import width, wrap

if TYPE_CHECKING:
    from optbench.subjects import Subject


class Source(StrEnum):
    reference = "reference"
    foreach = "foreach"
    fused = "fused"


_FOLDERS = {"reference": "reference", "foreach": "impls/foreach", "fused": "impls/fused"}
# What is of a form of its own says so in its meaning.
_FORMS = {
    "element": "like the parameter",
    "own": "",
    "counter": "one number",
    "number": "one number",
    "integer": "one number",
}


def _names(incomplete: str) -> list[str]:
    from optbench.deviations import TABLE

    return [*_algos(incomplete), *_laws(incomplete), *(row.id for row in TABLE if row.id.startswith(incomplete))]


def show(
    name: Annotated[
        str, typer.Argument(metavar="ALGORITHM|LAW|DEVIATION", autocompletion=_names, help="adam, opt.layouts, D-005.")
    ],
    source: Annotated[Source | None, typer.Option("--source", "-s", help="Print the file of that tier.")] = None,
) -> None:
    """Show an algorithm's rule, papers, options, state and source; a law; or where torch breaks one, with its script.

    Example: optbench show adam --source reference
    """
    from optbench import laws, subjects
    from optbench.deviations import TABLE
    from optbench.errors import UsageError, unknown

    everything = laws.entries()
    rows = {row.id: row for row in TABLE}
    if source and (name in everything or name.upper() in rows):
        raise UsageError(f"--source {source.value}: {name} has no such source; only algorithms have.")
    if name in everything:
        _show_law(name)
    elif name.upper() in rows:
        deviations.show(rows[name.upper()])
    elif name.lower() in subjects.NAMES:
        subject = subjects.load(name.lower())
        if source:
            sys.stdout.write(source_path(subject, source.value).read_text(encoding="utf-8"))
        else:
            _show_subject(subject)
    else:
        raise unknown("algorithm, law or deviation", name, [*subjects.NAMES, *everything, *rows], "optbench list")


def source_path(subject: Subject, tier: str) -> Path:
    """The file of an algorithm in a tier, found without importing it.

    Raises:
        UsageError: the tier has no such file.
    """
    import optbench
    from optbench.errors import UsageError

    # Several subjects may be of one class: swa and ema are AveragedModel.
    name = subject.class_name.lower() if subject.module else subject.name
    relative = Path(_FOLDERS[tier], subject.module, f"{name}.py")
    for folder in optbench.__path__:
        path = Path(folder) / relative
        if path.is_file():
            return path
    raise UsageError(f"the {tier} tier has no {subject.name}.")


def _show_law(name: str) -> None:
    from optbench.laws import entries

    law = entries()[name].law
    judged = "a grade: reported, never broken" if law.grade else "judged"
    print(wrap(f"{law.id}: {law.statement}.", width()))
    print()
    told = {"level": law.level, "catches": law.catches, "since": law.since, "verdict": judged}
    told |= {"device": f"{law.device}; skipped elsewhere"} if law.device else {}
    for key, value in told.items():
        print(wrap(f"{key:<9} {value}", width(), " " * 10))


def _show_subject(subject: Subject) -> None:
    columns = width()
    print(wrap(f"{subject.class_name}: {subject.summary}", columns))
    print()
    rule = subject.rule.splitlines()
    indent = " " * max(0, min(4, columns - max(map(len, rule))))
    for line in rule:
        condition = re.search(r" {3,}", line)
        print(wrap(indent + line, columns, indent + " " * (condition.end() if condition else 4)))
    if subject.papers:
        print("\nPapers")
    for paper in subject.papers:
        print(wrap(f"  {paper.authors}. {paper.title}, {paper.year}. {paper.url}", columns, "    "))
    _show_options(subject, columns)
    if subject.kind == "optimizer":
        _show_state(subject, columns)
    if subject.kind != "scheduler":
        _show_bytes(subject, columns)
    _show_deviations(subject, columns)
    _show_tiers(subject, columns)


def _show_options(subject: Subject, columns: int) -> None:
    print("\nOptions")
    longest = max(len(option.name) for option in subject.options)
    for option in subject.options:
        text = f"  {option.name:<{longest}}  {option.default!s:<12}  {option.meaning} ({option.legal})"
        print(wrap(text, columns, " " * (longest + 18)))


def _show_state(subject: Subject, columns: int) -> None:
    print("\nState")
    kept = max((len(entry.name) for entry in subject.state), default=0)
    for entry in subject.state:
        when = f", if {entry.when}" if entry.when else ""
        form = f" ({_FORMS[entry.form]})" if _FORMS[entry.form] else ""
        print(wrap(f"  {entry.name:<{kept}}  {entry.meaning}{when}{form}", columns, " " * (kept + 4)))


def _show_bytes(subject: Subject, columns: int) -> None:
    if not (subject.elementwise or subject.sparse):
        text = f"Bytes moved: several passes over memory a step; `optbench bench --algo {subject.name}` times them"
        print(f"\n{wrap(text, columns)}")
        return
    element = "element of a row with a gradient" if subject.sparse else "element"
    print(f"\nBytes that a step moves for each float32 {element}")
    for name, options in _with_more_state(subject).items():
        print(f"  {subject.bytes_per_element(options, 4):>3}  {name}")


def _with_more_state(subject: Subject) -> dict[str, dict[str, Any]]:
    """The defaults, and each option that adds a state entry of the parameter's size, at a value that does."""
    found: dict[str, dict[str, Any]] = {"defaults": {}}
    for entry in subject.state:
        option = next((option for option in subject.options if option.name == entry.when), None)
        if option and entry.per_element and not entry.exists(subject.defaults):
            value = next(value for value in option.values if value)
            found[f"{option.name}={value}"] = {option.name: value}
    return found


def _show_deviations(subject: Subject, columns: int) -> None:
    from optbench.deviations import TABLE
    from optbench.laws import entries

    if not subject.in_torch:
        return
    own = [entry.law.id for entry in entries().values() if entry.law.kind == subject.kind]
    rows = [row for row in TABLE if _names_any(row.subjects, [subject.name]) and _names_any(row.laws, own)]
    if rows:
        print("\nWhere torch.optim breaks a law, and ours do not")
    for row in rows:
        text = f"  {row.id}  {row.implementations} breaks {row.laws}: {row.torch_does}; ours: {row.ours}"
        print(wrap(f"{text}{f' ({row.upstream})' if row.upstream else ''}", columns, " " * 9))


def _names_any(globs: str, names: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs.split() for name in names)


def _show_tiers(subject: Subject, columns: int) -> None:
    print("\nTiers")
    for tier in _FOLDERS:
        print(wrap(f"  {tier:<9}  {_taken(subject, tier)}", columns, " " * 13))
        print(f"{' ' * 13}optbench show {subject.name} --source {tier}")


def _taken(subject: Subject, tier: str) -> str:
    """Which options a tier takes."""
    if not subject.differentiable:
        return "takes every option of torch's"
    if tier == "reference":
        return "takes every option, differentiable=True as well"
    return f"takes every option but differentiable=True: use optbench.reference.{subject.class_name}"
