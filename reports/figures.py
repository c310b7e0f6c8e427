"""The report's figures. Each is 440 pixels wide, so that two stand side by side and one fills a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import formats
from .canvas import MARKERS, SERIES, Canvas, spread
from .tables import BROKEN, Column, Worst
from .timings import Setting

WIDTH = 440.0
NAMES = 118.0
ROW = 19.0
CONTEXT = ("c1", "c2", "c3", "c4")
# Shares of the cap that the error figure tells apart; what lies outside stands at its edges.
SHARES = (0.01, 50.0)
DASHES: tuple[tuple[float, ...], ...] = ((5, 3), (2, 2), (7, 2, 1, 2), (1, 2))


@dataclass(frozen=True)
class Style:
    """How an implementation looks in every figure: judged ones in colour and solid, context grey and hollow."""

    colour: str
    marker: str
    dashes: tuple[float, ...]
    judged: bool


def styles(columns: Sequence[Column]) -> dict[str, Style]:
    found: dict[str, Style] = {}
    judged = context = 0
    for column in columns:
        if column.judged:
            found[column.name] = Style(SERIES[judged % len(SERIES)], MARKERS[judged % len(MARKERS)], (), True)
            judged += 1
        else:
            dashes = DASHES[context % len(DASHES)]
            found[column.name] = Style(CONTEXT[context % 4], MARKERS[context % len(MARKERS)], dashes, False)
            context += 1
    return found


@dataclass(frozen=True)
class Scale:
    """A logarithmic scale from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round values within the scale, as many as fit."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**decade for decade in decades for step in steps]
            found = [value for value in found if self.low * 0.999 <= value <= self.high * 1.001]
            if len(found) <= most:
                return found
        return found[:: math.ceil(len(found) / most)]


def error_dots(worst: Sequence[Worst], columns: Sequence[Column], title: str) -> Canvas | None:
    """A row for each implementation: the worst error of each law as a share of its cap, the very worst in words."""
    rows = [(column, [own for own in worst if own.implementation == column.name]) for column in columns]
    rows = [(column, own) for column, own in rows if own]
    if not rows:
        return None
    top, bottom = 26.0, 26.0 + ROW * len(rows)
    scale = Scale(*SHARES, NAMES + 36, WIDTH - 106)
    told = "; ".join(f"{column.name} {formats.number(own[0].share)}" for column, own in rows)
    sheet = Canvas(WIDTH, bottom + 24, title, f"The largest scaled error of each as a share of the cap: {told}.")
    for value in (0.01, 0.1, 10):
        sheet.line([scale(value)] * 2, [top - 6, bottom - 4], "grid", 0.8)
        sheet.text(scale(value), bottom + 9, f"{value:g}", "muted", 10, "center")
    sheet.text(scale(1), bottom + 9, "1", "ink", 10, "center")
    sheet.text(scale(SHARES[1]), bottom + 9, "more", "muted", 10, "center")
    sheet.line([scale(1)] * 2, [top - 6, bottom - 4], "ink", 1.2)
    sheet.text(scale(1), top - 14, "cap", "ink", 10.5, "center", bold=True)
    sheet.text(NAMES + 8, bottom + 9, "0", "muted", 10, "center")
    sheet.text(WIDTH - 94, top - 14, "worst of cap", "muted", 10)
    for index, (column, own) in enumerate(rows):
        _error_row(sheet, own, column, top + ROW * (index + 0.5) - 3, scale)
    return sheet


def _error_row(sheet: Canvas, own: Sequence[Worst], column: Column, y: float, scale: Scale) -> None:
    colour = "s1" if column.judged else "c1"
    places = [NAMES + 8 if item.share == 0 else scale(item.share) for item in own]
    sheet.text(NAMES - 8, y, formats.short(column.name), "ink" if column.judged else "muted", 11, "right")
    sheet.line([NAMES + 4, scale.end], [y, y], "grid", 0.8)
    sheet.marks(places, [y] * len(places), colour, "|", 7)
    leader = own[0]
    broken = leader.verdict in BROKEN
    symbol = formats.VERDICTS["fail" if broken else leader.verdict][0]
    told, marker = ("bad", "X") if broken else ("warn", "D") if leader.verdict == "precision" else ("", "o")
    sheet.marks(places[:1], [y], told or colour, marker, 7, hollow=not told and not column.judged)
    text = f"{formats.number(leader.error)} of {formats.number(leader.cap)}"
    sheet.text(WIDTH - 94, y, f"{symbol} {text}" if told else text, told or "ink", 11)


def throughput(curve: Setting, looks: dict[str, Style], title: str) -> Canvas:
    """GB/s against size, both logarithmic, a line for each implementation, labelled at its end; the roof dashed."""
    speeds = [row["bandwidth_bytes_per_s"] / 1e9 for row in curve.rows]
    roofs = [row["roof_bytes_per_s"] / 1e9 for row in curve.rows if row["roof_bytes_per_s"]]
    sizes = sorted({row["elements"] for row in curve.rows})
    left, right, top, bottom = 38.0, WIDTH - 126, 24.0, 236.0
    across = Scale(sizes[0], sizes[-1], left + 8, right - 8)
    up = Scale(min(speeds) / 1.25, max(speeds + roofs) * 1.25, bottom, top)
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in sorted(curve.rows, key=lambda row: row["elements"]):
        lines.setdefault(row["implementation"], []).append((row["elements"], row["bandwidth_bytes_per_s"] / 1e9))
    ends = "; ".join(f"{name} {formats.number(line[-1][1])}" for name, line in lines.items())
    sheet = Canvas(WIDTH, bottom + 40, title, f"GB/s at the largest size: {ends}. The table below holds every point.")
    _throughput_grid(sheet, across, up, sizes)
    if roofs:
        roof = max(roofs)
        sheet.line([left, right], [up(roof)] * 2, "ink", 1.2, (4, 3))
        sheet.text(left + 2, up(roof) - 9, f"roof {formats.number(roof)} GB/s", "ink", 10.5, bold=True)
    for name, line in sorted(lines.items(), key=lambda item: looks[item[0]].judged):
        look = looks[name]
        xs, ys = [across(size) for size, _ in line], [up(speed) for _, speed in line]
        sheet.line(xs, ys, look.colour, 2.0 if look.judged else 1.3, look.dashes)
        sheet.marks(xs, ys, look.colour, look.marker, 5.5 if look.judged else 4.5, hollow=not look.judged)
    label_ends(
        sheet, {name: (across(line[-1][0]), up(line[-1][1])) for name, line in lines.items()}, looks, right, top, bottom
    )
    return sheet


def _throughput_grid(sheet: Canvas, across: Scale, up: Scale, sizes: list[int]) -> None:
    left, right = across.start - 8, across.end + 8
    for tick in up.ticks(7):
        sheet.line([left, right], [up(tick)] * 2, "grid", 0.8)
        sheet.text(left - 6, up(tick), f"{tick:g}", "muted", 10, "right")
    stride = math.ceil(len(sizes) / 6)
    for size in sizes[::-1][::stride]:
        sheet.text(across(size), up.start + 14, formats.elements(size), "muted", 10, "center")
    sheet.text((left + right) / 2, up.start + 30, "elements in one tensor", "muted", 10, "center")
    sheet.text(2, up.end - 14, "GB/s", "muted", 10)


def label_ends(
    sheet: Canvas,
    ends: dict[str, tuple[float, float]],
    looks: dict[str, Style],
    right: float,
    top: float,
    bottom: float,
) -> None:
    """Write the name of each line beside its last point.

    Args:
        ends: name -> its last point.
        right: where the names begin.
        top, bottom: between which they are spread.
    """
    places = spread([y for _, y in ends.values()], 14.0, top, bottom)
    for (name, (x, y)), place in zip(ends.items(), places, strict=True):
        look = looks[name]
        sheet.line([x + 6, right + 4, right + 9], [y, place, place], "grid", 0.9)
        sheet.marks([right + 15], [place], look.colour, look.marker, 5.5, hollow=not look.judged)
        sheet.text(right + 24, place, formats.short(name, 16), "ink" if look.judged else "muted", 11)


def ratios(setting: Setting, everything: Sequence[dict[str, Any]], looks: dict[str, Style]) -> Canvas:
    """A bar from 1 for each implementation, with its interval; one scale for all workloads of an algorithm.

    Args:
        setting: what was timed.
        everything: the rows of all settings that share the scale.
    """
    ends = [row[name] for row in everything for name in ("ratio_low", "ratio_high", "ratio_to_baseline") if row[name]]
    ends = [value for value in ends if 0 < value < math.inf]
    low, high = min([0.8, *ends]) / 1.05, max([1.25, *ends]) * 1.05
    scale = Scale(low, high, NAMES + 4, WIDTH - 148)
    top = 18.0
    bottom = top + ROW * len(setting.rows)
    told = "; ".join(f"{row['implementation']} {_told(row)}" for row in setting.rows)
    sheet = Canvas(WIDTH, bottom + 18, f"Ratio to {_baseline(setting)}: {setting.title}", told + ".")
    for tick in scale.ticks(6):
        if abs(math.log(tick)) > 0.12 * math.log(high / low):
            sheet.line([scale(tick)] * 2, [top - 4, bottom], "grid", 0.8)
            sheet.text(scale(tick), bottom + 10, f"{tick:g}", "muted", 10, "center")
    sheet.text(scale(1), bottom + 10, "1", "ink", 10, "center", bold=True)
    for index, row in enumerate(setting.rows):
        _ratio_row(sheet, row, looks[row["implementation"]], top + ROW * (index + 0.5), scale)
    sheet.line([scale(1)] * 2, [top - 4, bottom], "ink", 1.2)
    return sheet


def _ratio_row(sheet: Canvas, row: dict[str, Any], look: Style, y: float, scale: Scale) -> None:
    sheet.text(NAMES - 8, y, formats.short(row["implementation"]), "ink" if look.judged else "muted", 11, "right")
    value, low, high = row["ratio_to_baseline"], row["ratio_low"], row["ratio_high"]
    label = scale.end + 10
    if row["implementation"] == row["baseline"] and not row["refused"]:
        sheet.marks([scale(1)], [y], look.colour, look.marker, 6, hollow=not look.judged)
        sheet.text(label, y, "baseline", "muted", 11)
        return
    if value is None:
        sheet.text(label, y, "refused" if row["refused"] else "no ratio", "muted", 11)
        return
    sheet.bar(scale(1), scale(value), y, 10, look.colour, 1.0 if look.judged else 0.55)
    if low is not None and high is not None:
        sheet.line([scale(low), scale(high)], [y, y], "ink", 1.6)
        for end in (low, high):
            sheet.line([scale(end)] * 2, [y - 3, y + 3], "ink", 1.2)
    symbol = formats.TIMING.get(row["verdict"], "")
    sheet.text(label, y, f"{symbol} {formats.times(value)}", "ink", 11, bold=look.judged)
    sheet.text(label + 62, y, f"({formats.interval(low, high)})", "muted", 10)


def _baseline(setting: Setting) -> str:
    return setting.rows[0]["baseline"] or "the baseline"


def _told(row: dict[str, Any]) -> str:
    if row["ratio_to_baseline"] is None:
        return "has no ratio"
    return f"{formats.times(row['ratio_to_baseline'])} {row['verdict']}".strip()
