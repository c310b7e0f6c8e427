"""Clockless figures that are kept in the repository, and what has become of them. Importing this needs no torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optbench.errors import NothingToRun, UsageError
from optbench.runs.strict_json import dump_line, reason, write_text

SCHEMA = "optbench.steady/1"
# Fewer is better for each. The host's calls may grow a little: any change of code moves them.
EXACT = ("dispatched_ops", "launches", "moved_bytes", "temporary_bytes", "state_bytes")
CALLS = "host_calls"
FIGURES = (*EXACT, CALLS)
CALLS_MARGIN = 0.1
_FEW_CALLS = 10

Figures = Mapping[str, Mapping[str, int]]
Verdict = Literal["worse", "better", "new", "gone"]


@dataclass(frozen=True)
class Change:
    """One figure that is not as it was kept.

    Args:
        row: "adam fused 100x64".
        figure: one of `FIGURES`; "" for rows that are new or gone.
        before: as kept.
        now: as counted.
    """

    row: str
    verdict: Verdict
    figure: str = ""
    before: int = 0
    now: int = 0

    @property
    def fails(self) -> bool:
        return self.verdict != "better"

    def __str__(self) -> str:
        if self.verdict == "new":
            return f"{self.row}: no figures are kept"
        if self.verdict == "gone":
            return f"{self.row}: figures are kept, and it did not run"
        return f"{self.row}: {self.figure.replace('_', ' ')} {self.before:,} -> {self.now:,}, {self.verdict}"


def row_name(row: Mapping[str, Any]) -> str:
    """What a row is kept under: subject, implementation and workload."""
    return f"{row['subject']} {row['implementation']} {row['workload']}"


def figures(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Rows of `optbench.timing.steady` by name."""
    return {row_name(row): {name: row[name] for name in FIGURES} for row in rows}


def compare(
    kept: Figures,
    now: Figures,
    about: Collection[tuple[str, str]] | None = None,
    names: Collection[str] = FIGURES,
) -> list[Change]:
    """What has changed, failures first.

    Args:
        about: (subject, implementation) of what ran; None: everything that is kept should have.
        names: the figures that can be compared, as `comparable` says.
    """
    changes = []
    for row, found in now.items():
        before = kept.get(row)
        if before is None:
            changes.append(Change(row, "new"))
            continue
        for name in names:
            verdict = _verdict(name, before.get(name, 0), found[name])
            if verdict:
                changes.append(Change(row, verdict, name, before.get(name, 0), found[name]))
    asked = (row for row in kept if about is None or tuple(row.split(" ")[:2]) in about)
    changes += [Change(row, "gone") for row in asked if row not in now]
    return sorted(changes, key=lambda change: not change.fails)


def _verdict(name: str, before: int, now: int) -> Verdict | None:
    margin = max(_FEW_CALLS, CALLS_MARGIN * before) if name == CALLS else 0
    if now > before + margin:
        return "worse"
    return "better" if now < before - margin else None


def write(path: Path, versions: Mapping[str, str], found: Figures) -> None:
    """Keep figures: a line a row, so that a change of one is a change of one line.

    Raises:
        UsageError: it cannot be written.
    """
    rows = ",\n  ".join(f"{json.dumps(name)}: {dump_line(row)}" for name, row in found.items())
    head = f'{{"schema": {json.dumps(SCHEMA)},\n "versions": {dump_line(dict(versions))},\n'
    write_text(path, f'{head} "figures": {{\n  {rows}\n }}}}\n')


def read(path: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """The versions that figures were counted with, and the figures.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason(error)}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{path} holds no figures of `optbench bench --steady` ({SCHEMA}).")
    return content["versions"], content["figures"]


def comparable(path: Path, kept: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, ...]:
    """The figures that mean the same here: another version of Python calls other functions.

    Raises:
        NothingToRun: the figures are another torch's.
    """
    if kept.get("torch") != here["torch"]:
        raise NothingToRun(
            f"{path} was counted with torch {kept.get('torch')}, and this is torch {here['torch']}: their figures "
            "cannot be compared."
        )
    return FIGURES if kept.get("python") == here["python"] else EXACT
