"""Interleaved rounds: every contestant once a round, in an order that changes, so that what disturbs one disturbs all.

Needs no torch: a contestant is a function, and a stopwatch is handed in.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# A sample shorter than this says more about the clock and the scheduler than about the step.
SAMPLE_SECONDS = 2e-3
MOST_REPETITIONS = 2000
# Steps shorter than this find their own data in the cache again only after a step nobody times.
LEAD_IN_SECONDS = 5e-3
# A contestant this many times slower than the fastest sits out two rounds of three: its verdict is clear, and the time
# is better spent on those that are close.
SLOW = 3.0
SLOW_STRIDE = 3
_CLEARLY_SLOW = 0.05


class Clock(Protocol):
    """Wall time and the CPU time of all threads of the process, in seconds."""

    def wall(self) -> float: ...

    def cpu(self) -> float: ...


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        return time.perf_counter()

    def cpu(self) -> float:
        return time.process_time()


@dataclass(frozen=True)
class Sample:
    """Seconds per step: elapsed, and of CPU over all threads."""

    wall: float
    cpu: float


def _nothing() -> None:
    pass


@dataclass
class Contestant:
    """Something to time.

    Args:
        name: unique within a race.
        step: one step, timed.
        before_step: untimed, before every step: autograd's new gradients. None lets steps run back to back.
        before_sample: untimed, before every sample, told how many steps follow: resets what has evolved too far.
        repetitions: steps in a sample.
        lead_in: untimed steps before a sample.
        stride: takes part in every `stride`-th round.
    """

    name: str
    step: Callable[[], object]
    before_step: Callable[[], object] | None = None
    before_sample: Callable[[int], object] | None = None
    repetitions: int = 1
    lead_in: int = 0
    stride: int = 1


class Stopwatch(Protocol):
    """Times steps; what a device needs around them is its own business."""

    def measure(self, contestant: Contestant, repetitions: int) -> Sample: ...


@dataclass
class HostStopwatch:
    """Times steps on the CPU by the process's clocks."""

    clock: Clock = field(default_factory=SystemClock)

    def measure(self, contestant: Contestant, repetitions: int) -> Sample:
        if contestant.before_step is None:
            return self._block(contestant.step, repetitions)
        samples = []
        for _ in range(repetitions):
            contestant.before_step()
            samples.append(self._block(contestant.step, 1))
        return Sample(sum(s.wall for s in samples) / repetitions, sum(s.cpu for s in samples) / repetitions)

    def _block(self, step: Callable[[], object], repetitions: int) -> Sample:
        clock = self.clock
        cpu, wall = clock.cpu(), clock.wall()
        for _ in range(repetitions):
            step()
        wall, cpu = clock.wall() - wall, clock.cpu() - cpu
        return Sample(wall / repetitions, cpu / repetitions)


Rounds = dict[str, dict[int, Sample]]


def calibrate(contestant: Contestant, stopwatch: Stopwatch, clock: Clock, warm_up_seconds: float = 0.0) -> float:
    """Warm a contestant up and choose its repetitions and lead-in.

    Args:
        contestant: changed in place.
        stopwatch: what will time it.
        clock: tells how long the warm-up takes.
        warm_up_seconds: least duration of the warm-up; accelerators raise their clocks by time, not by count.

    Returns:
        Estimated seconds a step.
    """
    until = clock.wall() + warm_up_seconds
    estimate, repetitions = _sample(contestant, stopwatch, 1), 1
    while repetitions < MOST_REPETITIONS and (estimate * repetitions < SAMPLE_SECONDS or clock.wall() < until):
        repetitions = min(MOST_REPETITIONS, 2 * repetitions)
        estimate = _sample(contestant, stopwatch, repetitions)
    if repetitions == 1 and estimate < _CLEARLY_SLOW:
        # One sample alone may have been disturbed.
        estimate = min(estimate, _sample(contestant, stopwatch, 1))
    needed = -(-SAMPLE_SECONDS // max(estimate, 1e-9))
    contestant.repetitions = int(min(MOST_REPETITIONS, max(1, needed)))
    contestant.lead_in = 1 if estimate < LEAD_IN_SECONDS else 0
    return estimate


def _sample(contestant: Contestant, stopwatch: Stopwatch, repetitions: int) -> float:
    if contestant.before_sample:
        contestant.before_sample(repetitions)
    return stopwatch.measure(contestant, repetitions).wall


def pace(contestants: Sequence[Contestant], estimates: Sequence[float], always: Sequence[str]) -> None:
    """Let the slow sit out two rounds of three.

    Args:
        contestants: changed in place.
        estimates: seconds a step of each.
        always: names that take part in every round: the baseline, its twin, the roof.
    """
    fastest = min(estimates)
    for contestant, estimate in zip(contestants, estimates, strict=True):
        slow = estimate > SLOW * fastest and contestant.name not in always
        contestant.stride = SLOW_STRIDE if slow else 1


def order(contestants: Sequence[Contestant], number: int, seed: int) -> list[Contestant]:
    """Who takes part in a round, in an order that depends on seed and round alone."""
    present = [c for i, c in enumerate(contestants) if (number + i) % c.stride == 0]
    random.Random(f"{seed}/{number}").shuffle(present)
    return present


def race(
    contestants: Sequence[Contestant],
    stopwatch: Stopwatch,
    clock: Clock,
    seed: int,
    seconds: float,
    fewest: int,
    most: int,
    limit: float = math.inf,
) -> Rounds:
    """Time all contestants, round by round, until the time is used up.

    Args:
        contestants: calibrated.
        stopwatch: times a sample.
        clock: tells when to stop.
        seed: seeds the order within each round.
        seconds: wall time to use, untimed work included.
        fewest: samples for each contestant at least, even if they take longer.
        most: rounds at most.
        limit: wall time that even the fewest may not exceed, because on a busy machine they could take forever. One
            sample each is taken in any case.

    Returns:
        For each contestant its samples by number of the round.
    """
    rounds: Rounds = {contestant.name: {} for contestant in contestants}
    start = clock.wall()
    longest_stride = max((contestant.stride for contestant in contestants), default=1)
    number = 0
    while number < most:
        spent = clock.wall() - start
        if number >= fewest * longest_stride and spent >= seconds:
            break
        if number >= longest_stride and spent >= limit:
            break
        for contestant in order(contestants, number, seed):
            if contestant.before_sample:
                contestant.before_sample(contestant.lead_in + contestant.repetitions)
            if contestant.lead_in:
                stopwatch.measure(contestant, contestant.lead_in)
            rounds[contestant.name][number] = stopwatch.measure(contestant, contestant.repetitions)
        number += 1
    return rounds
