"""One benchmark a (optimizer, implementation, workload), grouped by optimizer and workload.

What computes something wrong is not timed: it fails. `extra_info` holds what no clock decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from optbench import registry, subjects
from optbench.subjects import Ground
from optbench.timing.bench import BenchPlan
from optbench.timing.entrant import Refused
from optbench.timing.heat import Heat
from optbench.timing.workloads import ROWS, Workload, parse

DENSE = [parse(name) for name in ("1000x64", "1000x64/autograd", "1x1M")]
WORKLOADS: dict[Ground, list[Workload]] = {
    "optimizer": DENSE,
    "matrices": [Workload("64x(16,16)", ((16, 16),) * 64), Workload("8x(64,64)", ((64, 64),) * 8)],
    "rows": [Workload("8x(1024,64)/rows", ((1024, 64),) * 8, ROWS)],
}
TIMED = [
    item.name
    for item in registry.IMPLEMENTATIONS.values()
    if item.default and not item.worker and "optimizer" in item.kinds
]
# Where autograd makes new gradients before every step, steps do not run back to back.
ROUNDS = 50


def _all() -> Iterator[Any]:
    for name in subjects.NAMES:
        subject = subjects.load(name)
        # A step that calls a closure is no step alone.
        if subject.kind == "optimizer" and not subject.closure:
            for workload in WORKLOADS[subject.ground]:
                for implementation in TIMED:
                    yield pytest.param(name, implementation, workload, id=f"{name}-{implementation}-{workload.name}")


@pytest.mark.parametrize(("algo", "implementation", "workload"), list(_all()))
def test_step(benchmark: Any, algo: str, implementation: str, workload: Workload) -> None:
    subject, item = subjects.load(algo), registry.find(implementation)
    heat = Heat(BenchPlan([subject], [item]), subject, workload, lambda name, phase: None)
    try:
        unfit = heat.unfit()
        if unfit:
            pytest.skip(unfit)
        _admit(heat, item)
        heat.ready()
        contestant = heat.contestant(implementation)
        benchmark.group = f"{algo} {workload.name}"
        benchmark.extra_info.update(
            implementation=implementation,
            elements=heat.arena.elements,
            tensors=len(heat.arena.params),
            least_bytes_per_step=heat.moved(),
            **heat.facts(implementation),
        )
        if contestant.before_step:
            benchmark.pedantic(contestant.step, setup=contestant.before_step, rounds=ROUNDS)
        else:
            benchmark(contestant.step)
    finally:
        heat.close()


def _admit(heat: Heat, item: registry.Implementation) -> None:
    try:
        heat.admit(item)
    except Refused as why:
        if "oracle" in str(why):
            pytest.fail(str(why))
        pytest.skip(str(why))
