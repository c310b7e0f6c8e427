"""The timer's trial on a clock that only the contestants move: it tells a good timer from a bad one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from optbench.timing.calibration import (
    EVERY,
    GATE,
    SAME,
    Curve,
    Sides,
    Slowed,
    alarm,
    alarm_twice,
    measure,
)
from optbench.timing.statistics import Ratio
from optbench.timing.timer import HostStopwatch

STEP = 1e-3


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def wall(self) -> float:
        return self.now

    def cpu(self) -> float:
        return self.now


def calibrated(
    noise: Callable[[random.Random, float], float], runs: int = 40, bias: float = 1.0, seconds: float = 2.0
) -> Curve:
    """A curve of steps of a millisecond, each made longer as `noise` says; `bias` is the second side's alone."""
    clock, rng = FakeClock(), random.Random(0)

    def step(factor: float) -> None:
        clock.now += STEP * factor * noise(rng, clock.now)

    sides = Sides(lambda: step(1.0), lambda: step(bias))
    curve = Curve("fake", "nobody", seconds)
    return measure(curve, lambda run: sides, HostStopwatch(clock), clock, runs)


def quiet(rng: random.Random, now: float) -> float:
    return 1.0


def noisy(rng: random.Random, now: float) -> float:
    """A tenth of the steps take twice as long, all a few per cent more or less."""
    return rng.uniform(0.95, 1.05) * (2.0 if rng.random() < 0.1 else 1.0)


def drifting(rng: random.Random, now: float) -> float:
    """The machine is up to half as slow again, for seconds at a time."""
    return noisy(rng, now) * (1.25 + 0.25 * math.sin(now / 3))


def hopeless(rng: random.Random, now: float) -> float:
    """Every step another machine."""
    return rng.lognormvariate(0.0, 2.0)


@pytest.mark.parametrize("every", EVERY.values())
def test_a_planted_slowdown_is_exact_in_every_window(every: int) -> None:
    steps: list[int] = []
    slowed = Slowed(lambda: steps.append(0), every)
    # A lead-in shifts where the window begins.
    for lead_in in (0, 1, 7):
        for _ in range(lead_in):
            slowed()
        before = len(steps)
        for _ in range(3 * every):
            slowed()
        assert len(steps) - before == 3 * every + 3


def test_a_quiet_machine_measures_what_was_planted() -> None:
    curve = calibrated(quiet, runs=3)
    assert curve.error() == pytest.approx(0.0, abs=1e-9)
    told = {row["slowdown"]: row["median"] for row in curve.to_json()["slowdowns"]}
    assert told == {slowdown: pytest.approx(slowdown, abs=1e-6) for slowdown in (SAME, *EVERY)}
    assert [curve.alarms(slowdown) for slowdown in (SAME, 0.02, 0.05, 0.10, 0.20)][0::3] == [0, 3]
    assert curve.alarms(0.20) == 3 and curve.alarms(0.02) == 0


@pytest.mark.parametrize("noise", [noisy, drifting])
def test_a_noisy_machine_is_still_trusted(noise: Callable[[random.Random, float], float]) -> None:
    curve = calibrated(noise)
    assert curve.error() <= 0.03
    assert curve.alarms(SAME) == 0
    assert curve.alarms(GATE, twice=True) >= 0.95 * curve.runs
    assert curve.trusted()


def test_a_hopeless_machine_is_not_trusted() -> None:
    curve = calibrated(hopeless, seconds=0.3)
    assert curve.error() > 0.03 and not curve.trusted()


def test_a_timer_that_favours_one_side_is_not_trusted() -> None:
    assert calibrated(quiet, runs=3, bias=1.04).error() == pytest.approx(0.04)
    assert not calibrated(quiet, runs=3, bias=1.04).trusted()
    # So wrong that the same code sets the gate off.
    curve = calibrated(quiet, runs=3, bias=1.07)
    assert curve.alarms(SAME, twice=True) == 3 and not curve.trusted()


def test_slowdowns_that_are_missed_take_the_trust() -> None:
    # Favoured by as much as was planted.
    curve = calibrated(quiet, runs=3, bias=1 / 1.025)
    assert curve.error() == pytest.approx(0.025) and curve.trusted()
    curve = calibrated(quiet, runs=3, bias=1 / 1.06)
    assert curve.alarms(GATE) == 0 and not curve.trusted()


def ratio(slower: float, wide: float = 0.01) -> Ratio:
    return Ratio(1 / (1 + slower), (1 - wide) / (1 + slower), (1 + wide) / (1 + slower), 20)


@pytest.mark.parametrize(
    ("found", "alarmed"),
    [
        (ratio(0.10), True),
        (ratio(0.06), True),
        (ratio(0.04), False),
        (ratio(0.0), False),
        (ratio(-0.5), False),
        # Large, and in doubt.
        (ratio(0.3, wide=0.5), False),
        (None, False),
    ],
)
def test_the_gate_asks_for_size_and_for_certainty(found: Ratio | None, alarmed: bool) -> None:
    assert alarm(found) is alarmed


def test_a_gate_that_asks_twice() -> None:
    asked: list[int] = []

    def again(slower: float) -> Callable[[], Ratio]:
        return lambda: (asked.append(1), ratio(slower))[1]  # type: ignore[func-returns-value]

    assert alarm_twice(ratio(0.10), again(0.10)) and len(asked) == 1
    assert not alarm_twice(ratio(0.10), again(0.0)) and len(asked) == 2
    # Nothing is timed again where there was no alarm.
    assert not alarm_twice(ratio(0.0), again(0.10)) and len(asked) == 2


def test_confirmation_is_the_run_that_follows() -> None:
    curve = Curve("fake", "nobody", 1.0, {SAME: [ratio(0.1), ratio(0.0), ratio(0.1), ratio(0.1), None]})
    assert curve.alarms(SAME) == 3 and curve.alarms(SAME, twice=True) == 1
    assert curve.errors()[-1] == math.inf


def test_the_error_is_that_of_nine_runs_in_ten() -> None:
    curve = Curve("fake", "nobody", 1.0, {SAME: [ratio(number / 1000) for number in range(100)]})
    assert curve.error() == pytest.approx(0.089)
    assert curve.errors()[0] == 0.0
