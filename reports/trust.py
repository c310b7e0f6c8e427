"""How far a run's timings can be trusted, from the calibration that its environment carries: two curves, and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import formats
from .canvas import MARKERS, SERIES, Canvas
from .tables import Table

Curve = Mapping[str, Any]
WIDTH = 440.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, WIDTH - 92, 24.0, 176.0
# The error that is wanted, of nine runs in ten.
WANTED = 0.03
_QUANTILE = 0.9


def sentence(calibration: Mapping[str, Any]) -> str:
    """What was found, when, in one line."""
    told = [
        f"on {curve['workload']} within {formats.percent(curve['error'])} in nine of ten runs"
        for curve in calibration["curves"]
        if curve["error"] is not None
    ]
    when = str(calibration.get("time") or "")[:16].replace("T", " ")
    load = calibration.get("load_average")
    circumstances = f" ({when} UTC{f', load {load[0]}' if load else ''})" if when else ""
    return (
        f"The noise floor of this machine{circumstances}: the same code, raced against itself, stayed "
        f"{'; '.join(told) or 'nowhere within bounds'}. A gate for slowdowns of "
        f"{formats.percent(calibration['curves'][0]['gate'])} goes off where it is slower beyond doubt and by more "
        "than half of that; confirmed means that a second run says so too."
    )


def errors(curves: Sequence[Curve]) -> Canvas:
    """The A/A error against the share of runs that stay within it."""
    most = max([2 * WANTED, *(1.1 * curve["error"] for curve in curves if curve["error"] is not None)])
    told = "; ".join(f"{curve['workload']} {formats.percent(curve['error'])} at nine of ten" for curve in curves)
    sheet = _sheet("The same code against itself", f"How far off, by share of runs: {told}.")
    for share in (0.0, 0.5, _QUANTILE, 1.0):
        _across(sheet, share, f"{share:.0%}")
    for part in (0.0, WANTED, most):
        _up(sheet, part / most, formats.percent(part) if part else "0")
    y = _place_up(WANTED / most)
    sheet.line([_LEFT, _RIGHT], [y, y], "ink", 1.2, (4, 3))
    sheet.text(_LEFT + 4, y - 8, "wanted", "ink", 10)
    for index, curve in enumerate(curves):
        found = [most if error is None else min(error, most) for error in curve["errors"]]
        shares = [(place + 1) / len(found) for place in range(len(found))]
        xs, ys = [_place_across(share) for share in shares], [_place_up(error / most) for error in found]
        sheet.line(xs, ys, SERIES[index % len(SERIES)], 2.0)
        _name(sheet, curve, index)
    sheet.text((_LEFT + _RIGHT) / 2, _BOTTOM + 30, "share of runs", "muted", 10, "center")
    return sheet


def found(curves: Sequence[Curve]) -> Canvas:
    """The share of runs in which the gate went off twice, against the slowdown that was planted."""
    told = "; ".join(
        f"{row['slowdown']:.0%} planted on {curve['workload']}: {row['twice']} of {curve['runs']}"
        for curve in curves
        for row in curve["slowdowns"]
    )
    sheet = _sheet("Planted slowdowns that were found", f"{told}.")
    most = max([0.01, *(row["slowdown"] for curve in curves for row in curve["slowdowns"])])
    for slowdown in sorted({row["slowdown"] for curve in curves for row in curve["slowdowns"]}):
        _across(sheet, slowdown / most, f"{slowdown:.0%}")
    for share in (0.0, 0.5, 1.0):
        _up(sheet, share, f"{share:.0%}")
    for index, curve in enumerate(curves):
        xs = [_place_across(row["slowdown"] / most) for row in curve["slowdowns"]]
        ys = [_place_up(row["twice"] / max(1, curve["runs"])) for row in curve["slowdowns"]]
        sheet.line(xs, ys, SERIES[index % len(SERIES)], 2.0)
        sheet.marks(xs, ys, SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)], 5.5)
        _name(sheet, curve, index)
    sheet.text((_LEFT + _RIGHT) / 2, _BOTTOM + 30, "planted slowdown", "muted", 10, "center")
    return sheet


def error_table(curves: Sequence[Curve]) -> Table:
    rows = [
        [curve["workload"], curve["implementation"], f"{curve['runs']}", formats.percent(curve["error"])]
        for curve in curves
    ]
    return Table("A/A error", ["workload", "implementation", "runs", "nine of ten within"], rows, frozenset((2, 3)))


def found_table(curves: Sequence[Curve]) -> Table:
    rows = [
        [curve["workload"], f"{row['slowdown']:.0%}", _signed(row["median"]), f"{row['once']} of {curve['runs']}",
         f"{row['twice']} of {curve['runs']}"]
        for curve in curves
        for row in curve["slowdowns"]
    ]  # fmt: skip
    heads = ["workload", "planted", "measured", "alarms", "confirmed"]
    return Table("Planted slowdowns", heads, rows, frozenset(range(1, len(heads))))


def _signed(part: float | None) -> str:
    return formats.NONE if part is None else f"{part:+.1%}"


def _sheet(title: str, description: str) -> Canvas:
    return Canvas(WIDTH, _BOTTOM + 40, title, description)


def _place_across(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _place_up(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _across(sheet: Canvas, share: float, text: str) -> None:
    sheet.text(_place_across(share), _BOTTOM + 14, text, "muted", 10, "center")


def _up(sheet: Canvas, share: float, text: str) -> None:
    y = _place_up(share)
    sheet.line([_LEFT, _RIGHT], [y, y], "grid", 0.8)
    sheet.text(_LEFT - 6, y, text, "muted", 10, "right")


def _name(sheet: Canvas, curve: Curve, index: int) -> None:
    y = _TOP + 16.0 * index
    colour = SERIES[index % len(SERIES)]
    sheet.marks([_RIGHT + 14], [y], colour, MARKERS[index % len(MARKERS)], 5.5)
    sheet.text(_RIGHT + 23, y, formats.short(curve["workload"], 12), "ink", 11)
