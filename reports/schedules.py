"""Schedules for the report: every implementation's curve, and how far each is from the formula's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import formats
from .canvas import Canvas
from .figures import WIDTH, Scale, Style, label_ends
from .tables import Table

# What a law allows, relative to the formula's rate; the floor stands for no difference at all.
CAP = 1e-12
FLOOR = 1e-17
LEFT, RIGHT, TOP, BOTTOM = 46.0, WIDTH - 126, 24.0, 214.0
# Curves lie upon one another: each is marked at epochs of its own.
_MARKS = 5
_PLAIN = Style("c1", "o", (), False)

Entry = Mapping[str, Any]


def detail(entry: Entry) -> str:
    """The options that were followed."""
    length = formats.plural(len(entry["formula"]) - 1, "epoch")
    told = formats.options(entry["options"])
    return f"{length} with {told}" if told else length


def differences(entry: Entry) -> dict[str, list[float]]:
    """The distance of each implementation's rate from the formula's, relative to it, at every epoch."""
    return {
        name: [_relative(rate, wanted) for rate, wanted in zip(rates, entry["formula"], strict=True)]
        for name, rates in entry["rates"].items()
    }


def _relative(rate: float, wanted: float) -> float:
    if rate == wanted:
        return 0.0
    return abs(rate - wanted) / abs(wanted) if wanted else math.inf


def rate_figure(subject: str, entry: Entry, looks: Mapping[str, Style]) -> Canvas:
    """The rate at every epoch: the formula's as a broad line, every implementation's upon it."""
    formula, rates = entry["formula"], entry["rates"]
    seen = [rate for line in (formula, *rates.values()) for rate in line if math.isfinite(rate)]
    low, high = min(0.0, *seen), max(seen) or 1.0
    told = "; ".join(f"{name} ends at {formats.number(line[-1])}" for name, line in rates.items())
    sheet = Canvas(WIDTH, BOTTOM + 40, f"Rate of {subject} at every epoch", f"{told or 'No implementation has one'}.")
    height = _linear(low, high + 0.04 * (high - low), BOTTOM, TOP)
    across = _linear(0, len(formula) - 1, LEFT + 6, RIGHT - 6)
    _epochs(sheet, across, len(formula) - 1)
    for tick in _round_ticks(low, high):
        sheet.line([LEFT, RIGHT], [height(tick)] * 2, "grid", 0.8)
        sheet.text(LEFT - 6, height(tick), f"{tick:g}", "muted", 10, "right")
    sheet.text(2, TOP - 14, "learning rate", "muted", 10)
    sheet.line([across(epoch) for epoch in range(len(formula))], [height(rate) for rate in formula], "grid", 5)
    ends = {}
    for number, (name, line, look) in enumerate(_ordered(rates, looks)):
        xs, ys = [across(epoch) for epoch in range(len(line))], [height(rate) for rate in line]
        _draw(sheet, xs, ys, look, number, len(rates))
        ends[name] = (xs[-1], ys[-1])
    label_ends(sheet, ends, {name: looks.get(name, _PLAIN) for name in ends}, RIGHT, TOP, BOTTOM)
    return sheet


def difference_figure(subject: str, entry: Entry, looks: Mapping[str, Style]) -> Canvas:
    """The relative distance from the formula at every epoch, logarithmic, and what a law allows."""
    found = differences(entry)
    worst = {name: max(line) for name, line in found.items()}
    top = max([10 * CAP, *(10 * value for value in worst.values() if math.isfinite(value))])
    told = "; ".join(f"{name} {formats.number(value)}" for name, value in worst.items())
    sheet = Canvas(WIDTH, BOTTOM + 40, f"Distance of {subject} from its formula", f"The largest: {told or 'none'}.")
    up = Scale(FLOOR, top, BOTTOM, TOP)
    across = _linear(0, len(entry["formula"]) - 1, LEFT + 6, RIGHT - 6)
    _epochs(sheet, across, len(entry["formula"]) - 1)
    for tick in up.ticks(7):
        if tick > 2 * FLOOR:
            sheet.line([LEFT, RIGHT], [up(tick)] * 2, "grid", 0.8)
            sheet.text(LEFT - 6, up(tick), f"{tick:.0e}".replace("e-0", "e-"), "muted", 10, "right")
    sheet.text(LEFT - 6, BOTTOM, "0", "muted", 10, "right")
    sheet.text(2, TOP - 14, "relative distance from the formula", "muted", 10)
    sheet.line([LEFT, RIGHT], [up(CAP)] * 2, "ink", 1.2, (4, 3))
    sheet.text(LEFT + 4, up(CAP) - 9, "allowed", "ink", 10.5, bold=True)
    ends = {}
    for number, (name, line, look) in enumerate(_ordered(found, looks)):
        xs = [across(epoch) for epoch in range(len(line))]
        ys = [up(max(FLOOR, value)) for value in line]
        _draw(sheet, xs, ys, look, number, len(found))
        ends[name] = (xs[-1], ys[-1])
    label_ends(sheet, ends, {name: looks.get(name, _PLAIN) for name in ends}, RIGHT, TOP, BOTTOM)
    return sheet


def rate_table(entry: Entry) -> Table:
    """The rates at every tenth epoch."""
    names = list(entry["rates"])
    rows = [
        [str(epoch), _rate(wanted), *(_rate(entry["rates"][name][epoch]) for name in names)]
        for epoch, wanted in enumerate(entry["formula"])
        if epoch % 10 == 0
    ]
    return Table("Rates at every tenth epoch", ["epoch", "formula", *names], rows, frozenset(range(len(names) + 2)))


def difference_table(entry: Entry) -> Table:
    """The largest distance of each implementation and where it is; why there is none."""
    rows = []
    for name, line in differences(entry).items():
        worst = max(line)
        rows.append([name, formats.number(worst), str(line.index(worst)) if worst else formats.NONE])
    rows += [[name, why, formats.NONE] for name, why in entry["refused"].items()]
    heads = ["implementation", "largest relative distance", "at epoch"]
    return Table("Distance from the formula", heads, rows, frozenset({1, 2}))


def _rate(value: float) -> str:
    return f"{value:.6g}"


def _ordered(
    lines: Mapping[str, Sequence[float]], looks: Mapping[str, Style]
) -> Iterable[tuple[str, Sequence[float], Style]]:
    """Context first, so that what is judged lies above it."""
    told = [(name, line, looks.get(name, _PLAIN)) for name, line in lines.items()]
    return sorted(told, key=lambda item: item[2].judged)


def _draw(sheet: Canvas, xs: Sequence[float], ys: Sequence[float], look: Style, number: int, count: int) -> None:
    sheet.line(xs, ys, look.colour, 1.8 if look.judged else 1.2, look.dashes)
    stride = max(1, len(xs) // _MARKS)
    own = slice(number * stride // max(1, count), None, stride)
    sheet.marks(xs[own], ys[own], look.colour, look.marker, 5.5 if look.judged else 4.5, hollow=not look.judged)


def _epochs(sheet: Canvas, across: Any, last: int) -> None:
    for epoch in range(0, last + 1, max(1, last // 4)):
        sheet.text(across(epoch), BOTTOM + 14, str(epoch), "muted", 10, "center")
    sheet.text((LEFT + RIGHT) / 2, BOTTOM + 30, "epoch", "muted", 10, "center")


def _linear(low: float, high: float, start: float, end: float) -> Any:
    """A scale from values to pixels; what is no number, or outside, stands at an edge."""

    def place(value: float) -> float:
        inside = min(max(value, low), high) if not math.isnan(value) else high
        return start + (inside - low) / ((high - low) or 1.0) * (end - start)

    return place


def _round_ticks(low: float, high: float) -> list[float]:
    """At most six round values that the scale holds."""
    rough = (high - low) / 5
    decade = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= rough)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
