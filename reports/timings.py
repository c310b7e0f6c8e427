"""Measurements arranged for the report: workloads to compare on, the curve over sizes, and the tables of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import formats
from .tables import Rows, Table

# Fewer sizes than this are points, not a curve.
FEWEST_SIZES = 3
# What needs no gradients says nothing of them.
_GRADIENTS = {"moving": "gradients made by autograd", "none": ""}


@dataclass(frozen=True)
class Setting:
    """Rows that can be compared with one another: one workload, dtype, device, gradients and options."""

    title: str
    detail: str
    rows: Rows


def settings(measurements: Rows) -> list[Setting]:
    """Rows grouped by what was timed, in the order in which they occur."""
    dtypes = {row["dtype"] for row in measurements}
    groups: dict[tuple[str, ...], Rows] = {}
    for row in measurements:
        coordinates = (row["workload"], row["dtype"], row["device"], row["gradients"], formats.options(row["options"]))
        groups.setdefault(coordinates, []).append(row)
    found = []
    for (workload, dtype, device, gradients, options), rows in groups.items():
        title = ", ".join(part for part in (workload, dtype if len(dtypes) > 1 else "", options) if part)
        first = rows[0]
        amount = f"{first['elements']:,} elements in {formats.plural(first['tensors'], 'tensor')}"
        if first.get("groups"):
            amount = f"an optimizer with {formats.plural(first['groups'], 'parameter group')}"
        told = (amount, dtype, device, _GRADIENTS.get(gradients, f"{gradients} gradients"))
        found.append(Setting(title, ", ".join(part for part in told if part), rows))
    return found


def curves(measurements: Rows) -> list[Setting]:
    """Rows of one tensor each over at least three sizes, which differ in size alone."""
    groups: dict[tuple[str, ...], Rows] = {}
    for row in measurements:
        if row["tensors"] == 1 and row["elements"] > 0 and row["bandwidth_bytes_per_s"]:
            coordinates = (row["dtype"], row["device"], row["gradients"], formats.options(row["options"]))
            groups.setdefault(coordinates, []).append(row)
    return [
        Setting("size", ", ".join(part for part in ("one tensor", dtype, device, options) if part), rows)
        for (dtype, device, _, options), rows in groups.items()
        if len({row["elements"] for row in rows}) >= FEWEST_SIZES
    ]


def headlines(measurements: Rows) -> list[Setting]:
    """Settings to draw ratios for: all but those that are there for the curve only, or that nobody was timed on."""
    return [
        setting
        for setting in settings(measurements)
        if not any(row.get("curve") for row in setting.rows) and not all(row["refused"] for row in setting.rows)
    ]


def curve_table(curve: Setting) -> Table:
    """GB/s by size and implementation."""
    sizes = sorted({row["elements"] for row in curve.rows})
    names = list(dict.fromkeys(row["implementation"] for row in curve.rows))
    speed = {(row["elements"], row["implementation"]): row["bandwidth_bytes_per_s"] for row in curve.rows}
    rows = [[formats.elements(size), *(formats.gigabytes(speed.get((size, name))) for name in names)] for size in sizes]
    caption = f"Throughput in GB/s against size: {curve.detail}"
    return Table(caption, ["elements", *names], rows, frozenset(range(len(names) + 1)))


def ratio_table(setting: Setting) -> Table:
    rows = [
        [
            row["implementation"],
            formats.times(row["ratio_to_baseline"]),
            formats.interval(row["ratio_low"], row["ratio_high"]),
            verdict(row),
        ]
        for row in setting.rows
    ]
    return Table(
        f"{setting.title}: {setting.detail}",
        ["implementation", "ratio", "95% interval", "verdict"],
        rows,
        frozenset({1, 2}),
    )


def verdict(row: dict[str, Any]) -> str:
    """The symbol and the word, or why there is no figure."""
    if row["refused"]:
        return f"refused: {row['refused']}"
    if row["implementation"] == row["baseline"]:
        return "baseline"
    symbol = formats.TIMING.get(row["verdict"], "")
    return f"{symbol} {row['verdict']}".strip() or formats.NONE


def figures(row: dict[str, Any]) -> list[str]:
    """The measurement's columns in the order of `HEADS`."""
    low_high = formats.interval(row["ratio_low"], row["ratio_high"])
    ratio = formats.times(row["ratio_to_baseline"])
    return [
        formats.microseconds(row["median_s"]),
        formats.microseconds(row["iqr_s"]),
        formats.gigabytes(row["bandwidth_bytes_per_s"]),
        formats.percent(row["bandwidth_fraction"]),
        f"{ratio} ({low_high})" if low_high and row["implementation"] != row["baseline"] else ratio,
        verdict(row),
        formats.number(row["state_bytes_per_element"]),
        formats.size(row["peak_temporary_bytes"]),
        formats.NONE if row["dispatched_ops"] is None else f"{row['dispatched_ops']:,}",
        formats.NONE if row["first_call_s"] is None else f"{row['first_call_s']:.2f}",
    ]


HEADS = (
    ("µs a step", "median"),
    ("quartiles", "µs apart"),
    ("GB/s", ""),
    ("of roof", ""),
    ("ratio", "95% interval"),
    ("verdict", ""),
    ("state", "bytes/element"),
    ("temporaries", "peak"),
    ("ops", "a step"),
    ("first call", "s"),
)


def method(measurements: Rows) -> list[str]:
    """How it was timed, in sentences that hold for these rows."""
    timed = [row for row in measurements if row["median_s"] is not None]
    if not timed:
        return []
    rounds = [row["rounds"] for row in timed]
    baselines = ", ".join(dict.fromkeys(row["baseline"] for row in timed if row["baseline"])) or "none"
    told = [
        "All implementations took turns in one process, one round after the other "
        f"({min(rounds)} to {max(rounds)} rounds), so that what slows the machine for a while slows all of them.",
        "A ratio is the median over rounds of the baseline's time over the implementation's own "
        f"(baseline: {baselines}): above 1 is faster. The interval is a 95% bootstrap interval of that median.",
    ]
    floors = [row["noise_floor"] for row in timed if row["noise_floor"] is not None]
    if floors:
        told.append(
            f"The same code timed against itself in the same run strayed by up to {formats.percent(max(floors))}: "
            "a smaller difference is not called one."
        )
    if any(row["bandwidth_bytes_per_s"] for row in timed):
        told.append(
            "GB/s counts the fewest bytes that the algorithm must read and write, not those that an implementation "
            "moves; the roof is an in-place update of as many arrays, too large for any cache, measured in the same "
            "run."
        )
    told.append(
        "Before it was timed, each implementation had to match the float64 oracle on that very workload; "
        "where it did not, the reason stands in place of a number."
    )
    if any(row.get("groups") for row in timed):
        told.append(
            "A scheduler's step sets the rate, a Python float, of every parameter group; the optimizer takes no step "
            "in the timed region."
        )
    return told
