"""The tables of a report, from a record's rows. Each function returns plain structures that the template prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from . import formats

Rows = list[dict[str, Any]]

# The worst one names the cell.
SEVERITY = ("crash", "error", "fail", "xpass", "precision", "xfail", "pass", "skip")
BROKEN = frozenset({"crash", "error", "fail", "xpass"})
EXPLAINED = BROKEN | {"precision", "xfail"}
MOST_MESSAGES = 3
MOST_CASES = 12
MOST_CHARACTERS = 1500


@dataclass(frozen=True)
class Column:
    """An implementation in the matrix."""

    name: str
    backend: str
    judged: bool


@dataclass(frozen=True)
class Cell:
    """A law on an implementation: the worst verdict, how often, and where it is explained."""

    verdict: str
    text: str
    judged: bool
    skipped: int = 0
    anchor: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Matrix:
    columns: list[Column]
    rows: list[tuple[str, str, list[Cell | None]]]

    @property
    def judged(self) -> int:
        return sum(column.judged for column in self.columns)

    @property
    def verdicts(self) -> list[str]:
        """Verdicts that occur, for the legend."""
        cells = [cell for _, _, cells in self.rows for cell in cells if cell]
        seen = {cell.verdict for cell in cells} | {"skip" for cell in cells if cell.skipped}
        return [verdict for verdict in formats.VERDICTS if verdict in seen]


@dataclass(frozen=True)
class Message:
    """Cases that say the same, what one of them was reduced to, and how to see it again."""

    text: str
    cases: list[str]
    more: int
    reproduce: str
    says: str = ""
    script: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why a cell is not a plain pass."""

    anchor: str
    law: str
    implementation: str
    judged: bool
    verdict: str
    count: int
    checked: int
    deviations: list[str]
    messages: list[Message]
    more: int


@dataclass(frozen=True)
class Table:
    """A table as it is printed: a caption, column heads, rows of texts. Numeric columns are set flush right."""

    caption: str
    heads: list[str]
    rows: list[list[str]]
    numeric: frozenset[int] = field(default_factory=frozenset)


def columns(rows: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Implementations in the order in which they occur, the judged ones first."""
    found: dict[str, Column] = {}
    for row in rows:
        name = row["implementation"]
        # Foreign code is judged on some laws only: one judged row makes it a judged implementation.
        judged = row["judged"] or (name in found and found[name].judged)
        found[name] = Column(name, found[name].backend if name in found else row["backend"], judged)
    return sorted(found.values(), key=lambda column: not column.judged)


def conformance(results: Rows, prefix: str) -> tuple[Matrix, list[Explanation]]:
    """The matrix of law and implementation, and an explanation for each cell that needs one.

    Args:
        results: rows of one subject.
        prefix: begins every anchor, so that anchors are unique on the page.
    """
    implementations = columns(results)
    frame = pd.DataFrame(results, columns=["law", "level", "implementation", "verdict"]).reset_index()
    groups = {key: list(group) for key, group in frame.groupby(["law", "implementation"], sort=False)["index"]}
    levels = dict(zip(frame["law"], frame["level"], strict=True))
    explanations: list[Explanation] = []
    table = []
    for law, level in levels.items():
        cells: list[Cell | None] = []
        for column in implementations:
            found = [results[index] for index in groups.get((law, column.name), [])]
            anchor = f"{prefix}-{len(explanations) + 1}-{formats.slug(law, column.name)}"
            explanation = _explain(found, law, column, anchor)
            if explanation:
                explanations.append(explanation)
            cells.append(_cell(found, anchor if explanation else "") if found else None)
        table.append((law, level, cells))
    explanations.sort(key=lambda item: (item.verdict not in BROKEN, not item.judged))
    return Matrix(implementations, table), explanations


def _cell(found: Rows, anchor: str) -> Cell:
    verdicts = [row["verdict"] for row in found]
    judged = any(row["judged"] for row in found)
    worst = min(verdicts, key=SEVERITY.index)
    skipped = verdicts.count("skip")
    checked = len(found) - skipped
    symbol, meaning = formats.VERDICTS[worst]
    if worst == "skip":
        reasons = list(dict.fromkeys(row["message"] for row in found if row["message"]))
        return Cell(worst, f"{symbol} {skipped}", judged, 0, "", "; ".join(reasons[:2]) or meaning)
    counts = str(checked) if worst == "pass" else f"{_count(found, worst)}/{checked}"
    return Cell(worst, f"{symbol} {counts}", judged, skipped, anchor, meaning)


def _count(found: Rows, worst: str) -> int:
    """How many cases stand behind a cell's symbol: all broken ones, or those with its verdict."""
    alike = BROKEN if worst in BROKEN else {worst}
    return sum(row["verdict"] in alike for row in found)


def _explain(found: Rows, law: str, column: Column, anchor: str) -> Explanation | None:
    told = sorted((row for row in found if row["verdict"] in EXPLAINED), key=lambda row: SEVERITY.index(row["verdict"]))
    if not told:
        return None
    by_text: dict[str, Rows] = {}
    for row in told:
        by_text.setdefault(row["message"] or "no message", []).append(row)
    worst = told[0]["verdict"]
    most = MOST_MESSAGES if column.judged and worst in BROKEN else 1
    messages = [_message(text, rows) for text, rows in list(by_text.items())[:most]]
    deviations = list(dict.fromkeys(row["deviation"] for row in told if row["deviation"]))
    checked = sum(row["verdict"] != "skip" for row in found)
    more = len(by_text) - len(messages)
    count = _count(told, worst)
    judged = any(row["judged"] for row in told)
    return Explanation(anchor, law, column.name, judged, worst, count, checked, deviations, messages, max(0, more))


def _message(text: str, rows: Rows) -> Message:
    findings = (row["finding"] or {} for row in rows)
    found = next((finding for finding in findings if finding.get("says")), {})
    command = found.get("reproduce") or rows[0]["reproduce"]
    return Message(_cut(text), [row["case"] for row in rows[:MOST_CASES]], len(rows) - MOST_CASES, command,
                   str(found.get("says", "")), str(found.get("script", "")))  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + " … (the record holds all of it)"


def skips(results: Rows) -> Table | None:
    """What was not checked, and why."""
    skipped = [row for row in results if row["verdict"] == "skip"]
    if not skipped:
        return None
    frame = pd.DataFrame(skipped, columns=["implementation", "message", "law", "case"])
    rows = [
        [str(name), str(message) or "no reason given", ", ".join(dict.fromkeys(group["law"])), f"{len(group):,}"]
        for (name, message), group in frame.groupby(["implementation", "message"], sort=False)
    ]
    heads = ["implementation", "reason", "laws", "cases"]
    return Table("What was skipped, and why", heads, rows, frozenset({3}))


@dataclass(frozen=True)
class Worst:
    """The case of a law that comes nearest to its cap, or passes it furthest; `share` is error over cap."""

    implementation: str
    law: str
    case: str
    verdict: str
    error: float
    cap: float
    share: float


def errors(results: Rows) -> list[Worst]:
    """The worst case of each implementation and law that has a numeric error, the worst of all first."""
    names = ["implementation", "law", "case", "verdict", "error_ulp", "cap_ulp"]
    numeric = [row for row in results if row["error_ulp"] is not None and (row["cap_ulp"] or 0) > 0]
    frame = pd.DataFrame(numeric, columns=names)
    # What is not a number is as wrong as can be.
    frame["error_ulp"] = frame["error_ulp"].astype(float).fillna(float("inf"))
    frame["share"] = (frame["error_ulp"] / frame["cap_ulp"].astype(float)).fillna(float("inf"))
    ranked = frame.sort_values("share", ascending=False, kind="stable").drop_duplicates(["implementation", "law"])
    return [
        Worst(str(name), str(law), str(case), str(verdict), float(error), float(cap), float(share))
        for name, law, case, verdict, error, cap, share in ranked.to_numpy().tolist()
    ]


def error_table(worst: list[Worst], order: list[Column]) -> Table:
    rows = [
        [own.implementation, own.law, formats.number(own.error), formats.number(own.cap), own.case]
        for column in order
        for own in worst
        if own.implementation == column.name
    ]
    caption = "Worst scaled error of each implementation, law by law"
    return Table(caption, ["implementation", "law", "error", "cap", "case"], rows, frozenset({2, 3}))


@dataclass(frozen=True)
class Coverage:
    """Pairs of values that occurred together in a case, as a triangle of factor by factor."""

    covered: int
    total: int
    factors: list[tuple[str, list[str]]]
    rows: list[tuple[str, list[str]]]

    @property
    def whole(self) -> bool:
        return self.covered == self.total


def coverage(found: Mapping[str, Any]) -> Coverage | None:
    """The triangle: a row for each factor but the first, a column for each but the last."""
    pairs = {frozenset(pair[:2]): (int(pair[2]), int(pair[3])) for pair in found.get("pairs", [])}
    factors = [(name, [str(value) for value in values]) for name, values in found.get("factors", {}).items()]
    if not pairs or not factors:
        return None
    names = [name for name, _ in factors]
    rows = []
    for index, name in enumerate(names[1:], start=1):
        cells = [pairs.get(frozenset({name, other})) for other in names[:index]]
        rows.append((name, [f"{cell[0]}/{cell[1]}" if cell else formats.NONE for cell in cells]))
    return Coverage(int(found.get("covered", 0)), int(found.get("total", 0)), factors, rows)
