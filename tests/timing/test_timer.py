"""Interleaving, calibration and pacing, on a clock that only the contestants move."""

from collections import Counter

import pytest

from optbench.timing.statistics import paired_ratio, verdict
from optbench.timing.timer import (
    MOST_REPETITIONS,
    SAMPLE_SECONDS,
    SLOW_STRIDE,
    Contestant,
    HostStopwatch,
    calibrate,
    order,
    pace,
    race,
)


class FakeClock:
    """Stands still until somebody works; two threads work at a time."""

    def __init__(self) -> None:
        self.now = 0.0

    def wall(self) -> float:
        return self.now

    def cpu(self) -> float:
        return 2 * self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


class Worker:
    """A contestant's step that takes a known time, and counts what was done to it."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.steps = self.renewals = 0
        self.announced: list[int] = []

    def step(self) -> None:
        self.steps += 1
        self.clock.work(self.seconds)

    def before_step(self) -> None:
        self.renewals += 1
        self.clock.work(10.0)

    def before_sample(self, steps: int) -> None:
        self.announced.append(steps)


def contestants(clock: FakeClock, *seconds: float) -> list[Contestant]:
    return [Contestant(f"c{i}", Worker(clock, each).step) for i, each in enumerate(seconds)]


def test_a_sample_is_the_time_of_one_step() -> None:
    clock = FakeClock()
    worker = Worker(clock, 0.25)
    sample = HostStopwatch(clock).measure(Contestant("c", worker.step), 8)
    assert (sample.wall, sample.cpu) == (0.25, 0.5)
    assert worker.steps == 8


def test_work_before_a_step_is_not_timed() -> None:
    clock = FakeClock()
    worker = Worker(clock, 0.25)
    sample = HostStopwatch(clock).measure(Contestant("c", worker.step, worker.before_step), 3)
    assert (sample.wall, sample.cpu) == (0.25, 0.5)
    assert (worker.steps, worker.renewals) == (3, 3)


@pytest.mark.parametrize("seconds", [1e-6, 7e-5, 1e-3, 0.5])
def test_calibration_makes_samples_long_enough(seconds: float) -> None:
    clock = FakeClock()
    (contestant,) = contestants(clock, seconds)
    estimate = calibrate(contestant, HostStopwatch(clock), clock)
    assert estimate == pytest.approx(seconds)
    assert contestant.repetitions * seconds >= min(SAMPLE_SECONDS, MOST_REPETITIONS * seconds) * 0.999
    assert contestant.repetitions == 1 or (contestant.repetitions - 1) * seconds < SAMPLE_SECONDS
    assert contestant.lead_in == (1 if seconds < 5e-3 else 0)


def test_warm_up_lasts_as_long_as_asked() -> None:
    clock = FakeClock()
    (contestant,) = contestants(clock, 0.01)
    calibrate(contestant, HostStopwatch(clock), clock, warm_up_seconds=1.0)
    assert clock.now >= 1.0


def test_every_round_holds_everybody_in_changing_order() -> None:
    clock = FakeClock()
    racers = contestants(clock, *[1.0] * 5)
    orders = [tuple(c.name for c in order(racers, number, seed=0)) for number in range(40)]
    assert all(sorted(each) == ["c0", "c1", "c2", "c3", "c4"] for each in orders)
    assert len(set(orders)) > 30
    # Nobody has a place of its own: each comes first, and comes behind each other, about as often.
    assert min(Counter(each[0] for each in orders).values()) >= 2
    assert orders == [tuple(c.name for c in order(racers, number, seed=0)) for number in range(40)]
    assert orders != [tuple(c.name for c in order(racers, number, seed=1)) for number in range(40)]


def test_the_slow_sit_rounds_out_and_the_baseline_does_not() -> None:
    clock = FakeClock()
    racers = contestants(clock, 1.0, 2.0, 10.0, 20.0)
    pace(racers, [1.0, 2.0, 10.0, 20.0], always=["c3"])
    assert [racer.stride for racer in racers] == [1, 1, SLOW_STRIDE, 1]
    rounds = race(racers, HostStopwatch(clock), clock, seed=0, seconds=0.0, fewest=5, most=100)
    assert {name: len(samples) for name, samples in rounds.items()} == {"c0": 15, "c1": 15, "c2": 5, "c3": 15}
    # What the slow one is compared with was measured in the same rounds.
    assert rounds["c2"].keys() <= rounds["c0"].keys()


def test_a_race_ends_with_its_time() -> None:
    clock = FakeClock()
    rounds = race(contestants(clock, 1.0, 1.0), HostStopwatch(clock), clock, seed=0, seconds=20.0, fewest=5, most=100)
    assert len(rounds["c0"]) == len(rounds["c1"]) == 10
    rounds = race(contestants(clock, 1.0), HostStopwatch(clock), clock, seed=0, seconds=1e9, fewest=5, most=7)
    assert len(rounds["c0"]) == 7


def test_a_race_gives_up_on_the_fewest_rounds_in_the_end() -> None:
    clock = FakeClock()
    racers = contestants(clock, 100.0)
    rounds = race(racers, HostStopwatch(clock), clock, seed=0, seconds=20.0, fewest=5, most=100, limit=60.0)
    assert len(rounds["c0"]) == 1


def test_resets_are_told_all_steps_and_lead_ins_are_not_timed() -> None:
    clock = FakeClock()
    worker = Worker(clock, 1e-3)
    racer = Contestant("c", worker.step, before_sample=worker.before_sample, repetitions=4, lead_in=2)
    rounds = race([racer], HostStopwatch(clock), clock, seed=0, seconds=0.0, fewest=5, most=5)
    assert worker.announced == [6] * 5
    assert worker.steps == 30
    assert all(sample.wall == pytest.approx(1e-3) for sample in rounds["c"].values())


def test_the_same_code_twice_is_the_same_on_a_machine_that_drifts() -> None:
    clock = FakeClock()

    class Drifting(Worker):
        def step(self) -> None:
            # The machine slows down by half over the race, whoever runs.
            self.clock.work(self.seconds * (1 + self.clock.now))

    racers = [Contestant(name, Drifting(clock, 1e-3).step) for name in ("a", "twin", "slow")]
    racers[2].step = Drifting(clock, 1.2e-3).step
    rounds = race(racers, HostStopwatch(clock), clock, seed=0, seconds=0.5, fewest=5, most=200)
    walls = {name: {n: s.wall for n, s in taken.items()} for name, taken in rounds.items()}
    again = paired_ratio(walls["a"], walls["twin"], seed=0)
    slow = paired_ratio(walls["a"], walls["slow"], seed=0)
    assert again is not None and slow is not None
    assert again.noise < 0.01 and verdict(again, None) == "same"
    assert slow.median == pytest.approx(1 / 1.2, rel=0.01) and verdict(slow, again.noise) == "slower"
