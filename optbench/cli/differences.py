"""The difference of two records in plain text and in Markdown. Functions of data: nothing is printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from optbench.runs.difference import Difference, Row, describe, interval, number, times

from .tables import grid
from .terminal import paint, wrap

# What GitHub shows of a step's summary; anything longer is not shown at all.
MOST_BYTES = 1 << 20
_COLOURS = {"faster": "green", "slower": "red", "unsure": "yellow", "same": ""}
_SYMBOLS = {"worse": "✗", "changed": "~", "better": "✓"}
# What only one record tells of is named one by one up to here, and counted beyond.
_NAMED = 6
# Lines of regressions and of other changes.
_LISTED = 30
_HEADS = ("algorithm", "implementation", "where", "what", "before", "after", "change", "")
_MESSAGE = 300


def table(found: Difference, columns: int, colour: bool = False) -> str:
    """Plain text: marks, regressions, other changes, every ratio by workload, what only one record tells."""
    lines = [line for mark in found.marks for line in wrap(f"⚠ {mark}", columns, "  ").splitlines()]
    lines += [""] * bool(lines)
    if found.regressions:
        lines += [paint("Regressions", "bold", colour), ""]
        lines += [*(paint(line, "red", colour) for line in _listed(found.regressions, columns)), ""]
    other = [row for row in found.rows if row.kind != "time" and row.verdict != "same" and not row.regression]
    if other:
        lines += [paint("Other changes", "bold", colour), ""]
        lines += [*_listed(other, columns), ""]
    timed = [row for row in found.rows if row.kind == "time"]
    for where, over in dict.fromkeys((row.where, row.what) for row in timed):
        rows = [row for row in timed if (row.where, row.what) == (where, over)]
        lines += _ratios(rows, columns, colour)
    lines += _only(found, columns)
    lines += [paint(found.sentence, "red" if found.exit_status else "green", colour)]
    return "\n".join(lines) + "\n"


def _listed(rows: Sequence[Row], columns: int) -> list[str]:
    said = [f"{'✗' if row.regression else _SYMBOLS[row.verdict]} {_cut(describe(row))}" for row in rows[:_LISTED]]
    if len(rows) > _LISTED:
        said.append(f"… and {len(rows) - _LISTED:,} more: `--format json` has all.")
    return [line for text in said for line in wrap(text, columns, "  ").splitlines()]


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…"


def _ratios(rows: Sequence[Row], columns: int, colour: bool) -> list[str]:
    """One table of ratios on one workload."""
    first = rows[0]
    title = f"{first.where}; ratios over {first.what}" if first.what else first.where
    cells = [["", "", "before", "after", "change", ""]]
    cells += [
        [row.subject, _short(row.implementation), times(row.before), times(row.after), interval(row), row.verdict]
        for row in rows
    ]
    lines = [paint(line, "bold", colour) for line in wrap(title, columns, "  ").splitlines()]
    lines += grid(cells, 2, right=(2, 3), colours=_COLOURS, enabled=colour)
    for row in rows:
        if row.note:
            lines += wrap(f"{row.subject} {row.implementation}: {row.note}", columns, "  ").splitlines()
    return [*lines, ""]


def _short(name: str) -> str:
    return name if len(name) <= 16 else "…" + name[-15:]


def _only(found: Difference, columns: int) -> list[str]:
    lines: list[str] = []
    for side, names in (("A", found.only_before), ("B", found.only_after)):
        if names:
            told = "; ".join(names) if len(names) <= _NAMED else _counted(names)
            lines += wrap(f"Only in {side}: {told}.", columns, "  ").splitlines()
    return [*lines, ""] if lines else []


def _counted(names: Sequence[str]) -> str:
    """Many things that only one record tells of, by algorithm."""
    subjects = Counter(name.partition(" ")[0] for name in names)
    return f"{len(names):,} results and timings: {', '.join(f'{name} {count:,}' for name, count in subjects.items())}"


def markdown(found: Difference, most_bytes: int = MOST_BYTES) -> str:
    """Markdown for `$GITHUB_STEP_SUMMARY`: regressions first, all else folded, never longer than GitHub takes.

    Args:
        found: the difference.
        most_bytes: of UTF-8; rows that would go beyond are left out, the last ones first, and counted.
    """
    head = [f"### {'❌' if found.exit_status else '✅'} optbench diff", "", _text(found.sentence), ""]
    head += [line for mark in found.marks for line in (f"> ⚠ {_text(mark)}", ">")][:-1] + [""] * bool(found.marks)
    text = _Bounded(most_bytes)
    text.add(head)
    if found.regressions:
        text.add_table(_HEADS, map(_cells, found.regressions))
    told = [row for row in found.rows if not row.regression and (row.kind == "time" or row.verdict != "same")]
    same = len(found.rows) - len(found.regressions) - len(told)
    others = f"{len(told)} other ratios and changes; {same} figures and verdicts are the same"
    text.fold(others, _HEADS, map(_cells, told))
    for side, names in (("first", found.only_before), ("second", found.only_after)):
        if names:
            text.fold(f"{len(names)} only in the {side} record", ("",), ((_text(name),) for name in names))
    return str(text)


def _cells(row: Row) -> tuple[str, ...]:
    before, after = (times(value) if row.kind == "time" else number(value) for value in (row.before, row.after))
    change = interval(row) if row.kind == "time" else f"×{row.change:.3g}" if row.change else ""
    what = f"speed over {row.what}" if row.kind == "time" and row.what else row.what
    verdict = f"{row.verdict}: {_cut(row.note)}" if row.note else row.verdict
    cells = (row.subject, row.implementation, row.where, what, before, after, change, verdict)
    return tuple(_text(cell) for cell in cells)


def _text(text: str) -> str:
    """A text that is none of Markdown's, HTML's or a table's marks."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\|*_`[]~" else letter for letter in plain)


class _Bounded:
    """Lines that stay below a number of bytes, with room kept for what closes them."""

    # For the lines that close a table and tell how much was left out.
    _RESERVE = 1000

    def __init__(self, most: int) -> None:
        self._left = most - self._RESERVE
        self._lines: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def add(self, lines: Iterable[str]) -> bool:
        """Add lines, all of them or, where they do not fit, none."""
        new = list(lines)
        size = sum(len(line.encode()) + 1 for line in new)
        if size > self._left:
            return False
        self._left -= size
        self._lines += new
        return True

    def add_table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add a table with as many of its rows as fit."""
        fits = self.add(["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)])
        out = 0
        for row in rows:
            fits = fits and self.add(["| " + " | ".join(row) + " |"])
            out += not fits
        told = ["", f"… and {out:,} more, which do not fit: `--format json` has all."] if out else []
        self._lines += [*told, ""]

    def fold(self, summary: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Add a table that a click unfolds."""
        if self.add(["<details>", f"<summary>{summary}</summary>", "", "</details>", ""]):
            del self._lines[-2:]
            self.add_table(heads, rows)
            self._lines += ["</details>", ""]
        else:
            self._lines += [f"{summary}: `--format json` has them.", ""]
