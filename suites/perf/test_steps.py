"""One benchmark a (optimizer, implementation, workload), grouped by optimizer and workload."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench import registry, subjects
from optbench.timing.workloads import STANDING, parse

WORKLOADS = ("1000x64", "1x1M")
TIMED = [item.name for item in registry.IMPLEMENTATIONS.values() if item.default and not item.worker]


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("implementation", TIMED)
@pytest.mark.parametrize("algo", subjects.NAMES)
def test_step(benchmark: Any, algo: str, implementation: str, workload: str) -> None:
    item, subject, load = registry.find(implementation), subjects.load(algo), parse(workload)
    assert load.gradients == STANDING
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=generator).requires_grad_() for shape in load.shapes]
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator)
    # lr 0 keeps the values where they are, so that no number becomes a denormal however long it runs.
    optimizer = registry.build(item, subject.class_name, params, {"lr": 0.0})
    optimizer.step()
    benchmark.group = f"{algo} {workload}"
    moved = subject.bytes_per_element({}, 4) * load.elements
    benchmark.extra_info.update(implementation=implementation, elements=load.elements, bytes_per_step=moved)
    benchmark(optimizer.step)
