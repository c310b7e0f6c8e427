"""How far the timer can be trusted, measured: the same code against itself, and slowdowns that are planted.

A planted slowdown is made of the step itself: one that takes every tenth step twice is a tenth slower, whatever a step
costs and whatever else the machine does. Everything is raced as in a heat: interleaved rounds, the median of paired
ratios, its interval. Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optbench.timing.statistics import FEWEST_PAIRS, Ratio, paired_ratio
from optbench.timing.timer import Clock, Contestant, Stopwatch, calibrate, race

# The gate that is wanted, and how often it has to be right.
GATE = 0.10
MOST_ERROR = 0.03
QUANTILE = 0.90
LEAST_FOUND = 0.95
RUNS = 100
# One step in so many is taken twice.
EVERY: Mapping[float, int] = {0.02: 50, 0.05: 20, 0.10: 10, 0.20: 5}
SAME = 0.0
MOST_ROUNDS = 201
# How many times its time a run may take for the fewest rounds.
_PATIENCE = 3.0


def alarm(ratio: Ratio | None, gate: float = GATE) -> bool:
    """Whether a gate for slowdowns of this size goes off: it is slower beyond doubt, by more than half of the size.

    A threshold of the size itself would find half of such slowdowns: the other half is measured as a little less.

    Args:
        ratio: baseline/this, the same code before and after.
        gate: 0.1: steps that take 10% longer are to be found.
    """
    return ratio is not None and ratio.high < 1 and 1 / ratio.median > 1 + gate / 2


def alarm_twice(first: Ratio | None, again: Callable[[], Ratio | None], gate: float = GATE) -> bool:
    """The same, where an alarm counts only if a second run raises it too; no second run without a first alarm."""
    return alarm(first, gate) and alarm(again(), gate)


class Slowed:
    """A step that is taken twice every so many times."""

    def __init__(self, step: Callable[[], object], every: int) -> None:
        self._step, self._every, self._count = step, every, 0

    def __call__(self) -> None:
        self._step()
        self._count += 1
        if self._count == self._every:
            self._count = 0
            self._step()


@dataclass(frozen=True)
class Sides:
    """The same code, built twice.

    Args:
        before, after: take a step.
        before_sample: told how many steps follow, as in a `Contestant`.
    """

    before: Callable[[], object]
    after: Callable[[], object]
    before_sample: Callable[[int], object] | None = None


@dataclass
class Curve:
    """What the runs on one workload gave.

    Args:
        workload: on what.
        implementation: whose step.
        seconds: of one race; a run is a race for each slowdown.
        ratios: by slowdown, `SAME` for none, those of each run; None where a run had too few rounds.
    """

    workload: str
    implementation: str
    seconds: float
    ratios: dict[float, list[Ratio | None]] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        return len(self.ratios.get(SAME, ()))

    def errors(self) -> list[float]:
        """How far the same code was from itself, smallest first; a run without a ratio is infinitely far."""
        found = (math.inf if ratio is None else abs(math.log(ratio.median)) for ratio in self.ratios[SAME])
        return sorted(math.expm1(error) for error in found)

    def error(self) -> float:
        """The A/A error that nine runs of ten stay within."""
        return self.errors()[min(self.runs - 1, math.ceil(QUANTILE * self.runs) - 1)]

    def alarms(self, slowdown: float, twice: bool = False) -> int:
        """In how many runs the gate goes off. Twice: the run after each has to confirm it; the last one, the first."""
        found = [alarm(ratio) for ratio in self.ratios[slowdown]]
        return sum(one and (not twice or other) for one, other in zip(found, [*found[1:], *found[:1]], strict=True))

    def trusted(self) -> bool:
        """Whether error, false alarms and what is found are as wanted."""
        enough = self.alarms(GATE, twice=True) >= LEAST_FOUND * self.runs
        return self.error() <= MOST_ERROR and not self.alarms(SAME, twice=True) and enough

    def to_json(self) -> dict[str, Any]:
        """Ready for a record: what a report needs to draw both curves."""
        return {
            "workload": self.workload,
            "implementation": self.implementation,
            "seconds": self.seconds,
            "runs": self.runs,
            "errors": [round(error, 5) if math.isfinite(error) else None for error in self.errors()],
            "error": self.error() if math.isfinite(self.error()) else None,
            "gate": GATE,
            "slowdowns": [
                {"slowdown": each, "once": self.alarms(each), "twice": self.alarms(each, twice=True),
                 "median": _median([ratio for ratio in self.ratios[each] if ratio])}
                for each in sorted(self.ratios)
            ],
            "trusted": self.trusted(),
        }  # fmt: skip


def _median(ratios: Sequence[Ratio]) -> float | None:
    """How much slower it was measured to be."""
    found = sorted(1 / ratio.median - 1 for ratio in ratios)
    return round(found[len(found) // 2], 5) if found else None


def measure(
    curve: Curve,
    sides: Callable[[int], Sides],
    stopwatch: Stopwatch,
    clock: Clock,
    runs: int = RUNS,
    seed: int = 0,
    progress: Callable[[int], object] = lambda run: None,
) -> Curve:
    """Race the same code against itself and against itself slowed down, again and again.

    Args:
        curve: is filled.
        sides: builds both sides of a run, told its number.
        stopwatch, clock: time it.
        runs: how many.
        seed: seeds the order within rounds.
        progress: told the number of each run before it starts.
    """
    curve.ratios = {SAME: [], **{slowdown: [] for slowdown in EVERY}}
    for run in range(runs):
        progress(run)
        for slowdown, ratio in _run(sides(run), stopwatch, clock, seed + run, curve.seconds).items():
            curve.ratios[slowdown].append(ratio)
    return curve


def _run(
    sides: Sides, stopwatch: Stopwatch, clock: Clock, seed: int, seconds: float
) -> dict[float, Ratio | None]:
    """Race after race, two in each, as a gate for one change has it."""
    plain = _contestants(sides, None)
    for contestant in plain:
        calibrate(contestant, stopwatch, clock)
    least = max(contestant.repetitions for contestant in plain)
    found = {}
    for slowdown, every in {SAME: None, **EVERY}.items():
        racers = _contestants(sides, every)
        for contestant in racers:
            # Whole turns, so that every sample holds its share of double steps; and the same for both: on a busy
            # machine a long sample is interrupted and a short one is not (measured: 2% looked like 40%).
            contestant.repetitions = -(-least // (every or 1)) * (every or 1)
            contestant.lead_in = plain[0].lead_in
        rounds = race(racers, stopwatch, clock, seed, seconds, FEWEST_PAIRS, MOST_ROUNDS, _PATIENCE * seconds)
        before, after = ({n: sample.wall for n, sample in rounds[racer.name].items()} for racer in racers)
        found[slowdown] = paired_ratio(before, after, seed, f"{slowdown}")
    return found


def _contestants(sides: Sides, every: int | None) -> list[Contestant]:
    after = Slowed(sides.after, every) if every else sides.after
    pairs = (("before", sides.before), ("after", after))
    return [Contestant(name, step, before_sample=sides.before_sample) for name, step in pairs]
