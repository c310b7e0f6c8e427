"""What laws count: optimizers whose steps call nothing but their own operations, and the passes that those take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from optbench import registry, subjects
from optbench.case import Case
from optbench.registry import Implementation
from optbench.timing.passes import passes
from optbench.timing.probe import watch
from optbench.trials.checker import Checker
from optbench.trials.counted import together
from optbench.trials.optimizers import Trial


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trial(algo: str, name: str, **options: Any) -> Trial:
    subject = subjects.load(algo)
    case = Case(algo, {**subject.base, **options}, shapes="pair")
    return Trial(subject, registry.find(name), case, Checker(), {}, None)


def test_runs_share_an_optimizer_in_one_group_or_in_several() -> None:
    of = trial("sgd", "reference")
    one, several = together(of, [of.run(), of.run()]), together(of, [of.run(), of.run()], groups=2)
    assert [len(each.optimizer.param_groups) for each in (one, several)] == [1, 2]
    for each in (one, several):
        before = [param.detach().clone() for param in each.params]
        each.step()
        assert len(each.params) == 4
        assert all(not torch.equal(old, new) for old, new in zip(before, each.params, strict=True))


def test_a_closure_adds_no_operation_and_lets_the_history_grow() -> None:
    class Evaluates(torch.optim.Optimizer):
        def step(self, closure: Any) -> Any:  # type: ignore[override]
            return closure()

    of = trial("lbfgs", "reference")
    work = together(of, [of.run()]).warm()
    assert len(work.optimizer.state[work.params[0]]["old_dirs"]) > 4
    idle = Implementation("idle", "", made=lambda name, submodule: lambda params, **_: Evaluates(params, {}))
    assert watch(together(replace(of, implementation=idle), [of.run()]).step, "cpu").count == 0


@pytest.mark.parametrize(
    ("name", "own", "torchs"), [("reference", {}, 6), ("foreach", {}, 3), ("fused", {"prepare": 1, "update": 1}, 0)]
)
def test_passes_are_those_of_the_path(name: str, own: dict[str, int], torchs: int) -> None:
    of = trial("sgd", name, momentum=0.5)
    work = together(of, [of.run()]).warm()
    counted = passes(of.implementation, work.step)
    assert (dict(counted.own), counted.torch, counted.total) == (own, torchs, sum(own.values()) + torchs)
    # Parameter, gradient and buffer are read, two of them written: of 39 elements in float32.
    assert counted.moved_bytes >= 5 * 4 * 39
