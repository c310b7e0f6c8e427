"""The speed of one implementation in two runs, each time relative to the same path of torch. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

# What the intervals of a race hold, each for itself.
_CONFIDENCE = 0.95

# Threads that fight for a core make torch's path ten times slower and ours three times: where the same code strays this
# far from itself, the ratio of two codes is the machine's.
MOST_NOISE = 0.5

# Implementation -> measurement, of one race.
Heat = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Estimate:
    """A ratio of speeds with its interval at 95%."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Contrast:
    """What two races tell about one of their contestants.

    Args:
        yardstick: what both ratios are over.
        before, after: speed relative to it; None where it could not be told.
        verdict: "faster", "slower", "same" or "unsure".
        change: after / before, above 1 is faster now, with its interval in `low` and `high`.
        note: why it is "unsure", or what to bear in mind.
    """

    yardstick: str
    before: float | None
    after: float | None
    verdict: str
    change: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def contrast(before: Heat, after: Heat, name: str, among: int = 1) -> Contrast | None:
    """Compare a contestant of two races.

    A difference counts as in a single race: its interval lies on one side of 1, and it is larger than what the baseline
    strayed from itself, in both races together. Paths of torch are controls: their code is the same, so as far as even
    the quietest of them moved, it was the yardstick that did.

    Args:
        before, after: the races.
        name: the contestant.
        among: how many contrasts are looked at. Of a hundred intervals at 95%, five miss: these are made so wide that
            all of them hold together at 95% (Bonferroni's correction).

    Returns:
        None for the yardstick itself, whose ratio is 1 whatever it does, and where there is no ratio in either race.
    """
    from optbench.timing.statistics import Ratio, verdict

    if not (_baseline(before) or _baseline(after)):
        return None
    yardstick = _yardstick(before, after)
    if yardstick is None:
        told = f"over {_baseline(before) or 'nothing'} before, over {_baseline(after) or 'nothing'} after"
        return Contrast("", None, None, "unsure", note=f"nothing that both ratios could be over: {told}")
    if name == yardstick:
        return None
    was, now = _over(before, name, yardstick), _over(after, name, yardstick)
    if was is None or now is None:
        one, other = (found.middle if found else None for found in (was, now))
        return Contrast(yardstick, one, other, "unsure", note="too few rounds for an interval")
    change = _widened(quotient(now, was), among)
    floor = math.hypot(*(heat[name].get("noise_floor") or 0.0 for heat in (before, after)))
    moved = _moved(before, after, name, yardstick)
    judged = str(verdict(Ratio(change.middle, change.low, change.high, 0), max(floor, moved)))
    note = "" if _is_torch(yardstick) else f"a change of {yardstick} itself would not be seen"
    if judged == "unsure" and moved > floor:
        note = f"torch's own paths moved by {moved:.0%} from each other"
    threads = [heat[name].get("threads") for heat in (before, after)]
    if floor > MOST_NOISE:
        judged, note = "unsure", f"the baseline strayed {floor:.0%} from itself"
    if threads[0] != threads[1]:
        judged, note = "unsure", f"{threads[0]} threads before, {threads[1]} after"
    return Contrast(yardstick, was.middle, now.middle, judged, change.middle, change.low, change.high, note)


def _moved(before: Heat, after: Heat, name: str, yardstick: str) -> float:
    """How far the quietest control moved, 0.1 is 10%; 0 where there is none."""
    controls = [item for item in after if _is_torch(item) and item in before and item not in (name, yardstick)]
    pairs = [(_over(after, item, yardstick), _over(before, item, yardstick)) for item in controls]
    moves = [abs(math.log(now.middle / was.middle)) for now, was in pairs if now and was]
    return math.expm1(min(moves)) if moves else 0.0


def quotient(upper: Estimate, lower: Estimate) -> Estimate:
    """The ratio of two independent estimates.

    In logarithms it is a difference, whose limits follow from those of its terms: square the distance of each limit
    that pulls the same way, add, take the root (the method of variance estimates recovery; Zou and Donner, 2008). So
    lopsided intervals stay lopsided, and one that is twice as wide counts as such.
    """
    middle = upper.middle / lower.middle
    down = math.hypot(math.log(upper.middle / upper.low), math.log(lower.high / lower.middle))
    up = math.hypot(math.log(upper.high / upper.middle), math.log(lower.middle / lower.low))
    return Estimate(middle, middle * math.exp(-down), middle * math.exp(up))


def _widened(estimate: Estimate, among: int) -> Estimate:
    wanted, given = (NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / (2 * number)) for number in (max(1, among), 1))
    low, high = ((limit / estimate.middle) ** (wanted / given) for limit in (estimate.low, estimate.high))
    return Estimate(estimate.middle, estimate.middle * low, estimate.middle * high)


def _yardstick(before: Heat, after: Heat) -> str | None:
    """What both races can be told relative to: a path of torch, which no change of ours moves, if there is one."""
    named = dict.fromkeys([_baseline(after), _baseline(before), *filter(_is_torch, after)])
    fitting = [name for name in named if name and _measures(before, name) and _measures(after, name)]
    return next((name for name in fitting if _is_torch(name)), fitting[0] if fitting else None)


def _baseline(heat: Heat) -> str:
    return next((str(row["baseline"]) for row in heat.values() if row.get("baseline")), "")


def _is_torch(name: str) -> bool:
    return name.partition("-")[0] == "torch"


def _measures(heat: Heat, name: str) -> bool:
    return name == _baseline(heat) or (name in heat and _estimate(heat[name]) is not None)


def _over(heat: Heat, name: str, yardstick: str) -> Estimate | None:
    own = _estimate(heat[name])
    if yardstick == _baseline(heat) or own is None:
        return own
    measure = _estimate(heat[yardstick])
    return None if measure is None else quotient(own, measure)


def _estimate(row: Mapping[str, Any]) -> Estimate | None:
    """The ratio to the race's own baseline."""
    if row["implementation"] == row.get("baseline"):
        return Estimate(1.0, 1.0, 1.0)
    values = [row.get(name) for name in ("ratio_to_baseline", "ratio_low", "ratio_high")]
    if any(value is None or not 0 < value < math.inf for value in values):
        return None
    middle, low, high = (float(value) for value in values if value is not None)
    return Estimate(middle, min(low, middle), max(high, middle))
