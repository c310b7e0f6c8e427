"""Tables in plain text, narrow enough for 80 columns. Functions of data: they print nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optbench.failures.finding import told
from optbench.runs.results import Measurement, Result
from optbench.runs.summary import Cell, count

from .terminal import paint, wrap

_SYMBOL_COLOUR = {"✓": "green", "✗": "red", "~": "yellow", "(✗)": "yellow", "–": "dim"}
_VERDICT_COLOUR = {"faster": "green", "slower": "red", "unsure": "yellow", "same": ""}
_LEGEND = "✓ kept in n cases   ✗ broken in k of n   ~ precision lost, or grade not reached   – nothing to check"
_EXPECTED = "   (✗) broken as its owner expects"
_MESSAGES = 6


def grid(
    rows: Sequence[Sequence[str]],
    gap: int = 2,
    right: Iterable[int] = (),
    colours: Mapping[str, str] | None = None,
    enabled: bool = False,
) -> list[str]:
    """Lines of a table whose columns are as wide as their widest cell.

    Args:
        rows: the first one may be the header.
        gap: blanks between columns.
        right: columns to align at their right edge.
        colours: first word of a cell -> colour.
        enabled: whether colour is used.
    """
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    ends = set(right)
    lines = []
    for row in rows:
        cells = [cell.rjust(widths[i]) if i in ends else cell.ljust(widths[i]) for i, cell in enumerate(row)]
        painted = [
            paint(cell, (colours or {}).get((cell.split() or [""])[0], ""), enabled) if i else cell
            for i, cell in enumerate(cells)
        ]
        lines.append((" " * gap).join(painted).rstrip())
    return lines


def conformance(results: Sequence[Result], columns: int, grades: frozenset[str], colour: bool = False) -> list[str]:
    """Law rows x implementation columns of one subject, then the broken ones in words."""
    cells = count(results, grades)
    laws = list(dict.fromkeys(law for law, _ in cells))
    names = list(dict.fromkeys(result.implementation for result in results))
    judged = {result.implementation for result in results if result.judged}
    lines: list[str] = []
    for block in _blocks(laws, names, cells, columns):
        headers = [_header(name) for name in block]
        depth = max(len(header) for header in headers)
        rows = [["", *((header[line] if line < len(header) else "") for header in headers)] for line in range(depth)]
        rows += [[law, *(_cell(cells.get((law, name))) for name in block)] for law in laws]
        gap = 2 if _width(rows, 2) <= columns else 1
        lines += [*grid(rows, gap, colours=_SYMBOL_COLOUR, enabled=colour), ""]
    legend = _LEGEND + (_EXPECTED if any(cell.counts.get("xfail") for cell in cells.values()) else "")
    lines += [paint(line, "dim", colour) for line in wrap(legend, columns).splitlines()]
    context = [name for name in names if name not in judged]
    if context:
        said = f"{', '.join(context)}: context, which changes no exit status"
        lines += [paint(line, "dim", colour) for line in wrap(said, columns).splitlines()]
    return [*lines, *_messages(cells, judged, columns, colour)]


def _blocks(
    laws: Sequence[str], names: Sequence[str], cells: Mapping[tuple[str, str], Cell], columns: int
) -> list[list[str]]:
    """The implementations in as many tables as the width asks for."""
    used = max((len(law) for law in laws), default=0)
    blocks: list[list[str]] = [[]]
    left = columns - used
    for name in names:
        wide = 1 + max(
            *(len(line) for line in _header(name)), *(len(_cell(cells.get((law, name)))) for law in laws),
        )  # fmt: skip
        if wide > left and blocks[-1]:
            blocks.append([])
            left = columns - used
        blocks[-1].append(name)
        left -= wide
    return blocks


def _header(name: str) -> list[str]:
    """A name over two lines, broken at its first hyphen; of a path its file and class."""
    if ":" in name:
        where, _, cls = name.rpartition(":")
        parts = [where.rpartition("/")[2].rpartition("\\")[2][:16] + ":", cls[:16]]
    else:
        first, hyphen, second = name.partition("-")
        parts = [first + hyphen, second] if hyphen else ["", first]
    return parts


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.symbol == "–":
        return "–"
    if cell.symbol == "✗" or (cell.symbol == "~" and cell.broken):
        return f"{cell.symbol} {cell.broken}/{cell.ran}"
    if cell.symbol == "~":
        return f"~ {cell.counts['precision']}/{cell.ran}"
    if cell.symbol == "(✗)":
        return f"(✗) {cell.counts['xfail']}/{cell.ran}"
    return f"✓ {cell.ran}"


def _width(rows: Sequence[Sequence[str]], gap: int) -> int:
    return sum(max(len(row[i]) for row in rows) for i in range(len(rows[0]))) + gap * (len(rows[0]) - 1)


def _messages(cells: Mapping[tuple[str, str], Cell], judged: set[str], columns: int, colour: bool) -> list[str]:
    """What judged implementations broke, with the command that reruns its smallest case; the others in short."""
    broken = [(law, name, cell) for (law, name), cell in cells.items() if cell.symbol == "✗"]
    lines: list[str] = []
    own = [item for item in broken if item[1] in judged]
    for law, name, cell in own[:_MESSAGES]:
        first = cell.first_broken
        assert first is not None
        said = " ".join(first.message.split())
        text = f"✗ {name} breaks {law}{_known(cell)}: [{first.case}] {said or first.verdict}"
        lines += ["", *(paint(line, "red", colour) for line in wrap(text, columns, "  ").splitlines())]
        lines += [f"  {line}" for line in wrap(told(first.finding), columns - 2).splitlines()]
        command = (first.finding or {}).get("reproduce") or first.reproduce
        lines += [f"  {command}"] if command else []
    if len(own) > _MESSAGES:
        lines += ["", f"… and {len(own) - _MESSAGES} more: the report and the record have all."]
    others: dict[str, list[str]] = {}
    for law, name, cell in broken:
        if name not in judged:
            others.setdefault(name, []).append(f"{law}{_known(cell)}")
    for name, laws in others.items():
        lines += wrap(f"✗ {name} breaks {', '.join(laws)}", columns, "  ").splitlines()
    return lines


def _known(cell: Cell) -> str:
    return f" (known, {cell.known})" if cell.known else ""


def coverage(found: Mapping[str, Any]) -> str:
    """One line about the pairwise coverage of one subject."""
    covered, total = found["covered"], found["total"]
    part = 100 * covered / total if total else 0.0
    factors = ", ".join(found["factors"])
    shown = f"{part:.0f}%" if covered == total else f"{min(part, 99.9):.1f}%"
    return f"Pairwise coverage: {covered} of {total} pairs ({shown}) of {factors}."


def throughput(measurements: Sequence[Measurement], columns: int, colour: bool = False) -> list[str]:
    """One table a workload of one subject: time, bandwidth, ratio. Points of the curve are for the report."""
    lines: list[str] = []
    shown = [row for row in measurements if not row.curve] or list(measurements)
    for key in dict.fromkeys((row.workload, row.dtype, row.device) for row in shown):
        rows = [row for row in shown if (row.workload, row.dtype, row.device) == key]
        lines += _workload(rows, columns, colour)
    curve = [row.workload for row in measurements if row.curve]
    if len(shown) < len(measurements):
        lines += wrap(f"The curve of sizes ({', '.join(dict.fromkeys(curve))}) is in the report.", columns).splitlines()
    return lines if lines[-1] else lines[:-1]


def _workload(rows: Sequence[Measurement], columns: int, colour: bool) -> list[str]:
    first = rows[0]
    baseline = next((row.baseline for row in rows if row.baseline), "")
    noise = next((row.noise_floor for row in rows if row.noise_floor is not None), None)
    title = f"{first.workload}, {first.dtype} on {first.device}"
    if baseline:
        title += f"; ratios over {baseline}" + (f", which strays {noise:.1%} from itself" if noise is not None else "")
    timed = [row for row in rows if row.median_s is not None]
    table = [["", "µs/step", "GB/s", "roof", "ratio", ""], *(_figures(row) for row in timed)]
    right: tuple[int, ...] = (1, 2, 3)
    if not any(row.bandwidth_bytes_per_s for row in timed):
        # What touches no memory to speak of has no bandwidth.
        table, right = [[*cells[:2], *cells[4:]] for cells in table], (1,)
    lines = [paint(line, "bold", colour) for line in wrap(title, columns, "  ").splitlines()]
    if timed:
        lines += grid(table, 2, right=right, colours=_VERDICT_COLOUR, enabled=colour)
    for row in rows:
        if row.refused:
            said = " ".join(row.refused.split())
            lines += wrap(f"{row.implementation}: no figure: {said}", columns, "  ").splitlines()
    return [*lines, ""]


def _figures(row: Measurement) -> list[str]:
    ratio = "baseline"
    if row.implementation != row.baseline:
        ratio = "" if row.ratio_to_baseline is None else _times(row.ratio_to_baseline)
        if ratio and row.ratio_low is not None and row.ratio_high is not None:
            ratio += f" [{row.ratio_low:.2f}, {row.ratio_high:.2f}]"
    return [
        _short(row.implementation),
        _microseconds(row.median_s),
        "" if row.bandwidth_bytes_per_s is None else f"{row.bandwidth_bytes_per_s / 1e9:.1f}",
        "" if row.bandwidth_fraction is None else f"{row.bandwidth_fraction:.0%}",
        ratio,
        "" if row.implementation == row.baseline else row.verdict,
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x"


def _microseconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _short(name: str) -> str:
    return name if len(name) <= 24 else "…" + name[-23:]
