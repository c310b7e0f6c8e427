"""A slowdown that is planted in the fused tier is found by the ratio gate; the same code again is not.

Everything between the stopwatch and the gate's verdict is real: steps, rounds, paired ratios, records and their
comparison. The stopwatch tells the time that a noisy machine would have taken.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from optbench.suites.ratio_gate import THRESHOLD, gate

from optbench import registry, subjects
from optbench.runs import diff
from optbench.runs.difference import Difference
from optbench.runs.environment import collect
from optbench.runs.reader import empty
from optbench.timing import bench, device
from optbench.timing.bench import BenchPlan
from optbench.timing.timer import Contestant, Sample

SECONDS = {"fused": 1e-4, "foreach": 4e-4, "torch-forloop": 8e-4}
NOISE = 0.04
HERE = collect(0, "cpu")


class NoisyStopwatch:
    """Takes the step, and says that it took as long as it would on a machine that everybody slows down at times."""

    def __init__(self, factors: dict[str, float], seed: int) -> None:
        self._factors, self._rng, self._load, self._left = factors, random.Random(seed), 1.0, 0

    def measure(self, contestant: Contestant, repetitions: int) -> Sample:
        contestant.step()
        if not self._left:
            # For some samples on end, whoever they are of: what interleaving is for.
            self._load, self._left = self._rng.choice((1.0, 1.0, 1.2, 1.5)), 40
        self._left -= 1
        seconds = SECONDS.get(contestant.name, SECONDS["torch-forloop"]) * self._factors.get(contestant.name, 1.0)
        wall = seconds * self._load * self._rng.lognormvariate(0.0, NOISE)
        return Sample(wall, wall)


def record(monkeypatch: pytest.MonkeyPatch, factors: dict[str, float], seed: int) -> dict[str, Any]:
    """A run of `bench` where some are slower by a factor."""
    with monkeypatch.context() as patch:
        patch.setattr(device, "stopwatch", lambda name, footprint: NoisyStopwatch(factors, seed))
        patch.setattr("optbench.timing.contest.MOST_ROUNDS", 101)
        ours = [registry.find("foreach"), registry.find("fused")]
        plan = BenchPlan(
            [subjects.load("adam")], ours, frozenset(each.name for each in ours), workloads=["4x16"], baseline="torch",
            seconds=20.0,
        )  # fmt: skip
        rows = [row.to_json() for row in bench.run(plan)]
    return {**empty({"command": "", "started": "", "environment": HERE, "plan": {}}), "measurements": rows}


Gate = Callable[[dict[str, float]], list[tuple[str, str]]]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Who the gate finds slower where the working tree is slower by these factors."""
    taken = iter(range(1000))

    def judge(factors: dict[str, float]) -> list[tuple[str, str]]:
        def measure(algos: str) -> Difference:
            before, after = (record(monkeypatch, each, next(taken)) for each in ({}, factors))
            return diff.compare(before, after, threshold=THRESHOLD)

        return [(row.kind, row.implementation) for row in gate(measure)]

    return judge


def test_the_same_code_raises_no_alarm(judged: Gate) -> None:
    assert [judged({}) for _ in range(3)] == [[], [], []]


def test_a_slowdown_of_a_tenth_is_found(judged: Gate) -> None:
    assert [judged({"fused": 1.1}) for _ in range(3)] == [[("time", "fused")]] * 3


def test_one_of_a_fiftieth_is_let_pass(judged: Gate) -> None:
    assert judged({"fused": 1.02}) == []


def test_a_slower_or_faster_machine_is_nobodys_fault(judged: Gate) -> None:
    assert judged({"torch-forloop": 0.9, "fused": 0.9, "foreach": 0.9}) == []
    assert judged({"torch-forloop": 1.1, "torch-foreach": 1.1, "fused": 1.1, "foreach": 1.1}) == []
