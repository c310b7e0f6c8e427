"""opt.graph on a CPU, where steps stand for replays: what it asks of them, and why it is skipped there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optbench import conformance, registry, subjects
from optbench.law import Scope
from optbench.laws import opt_graph
from optbench.planning import Plan
from optbench.trials.checker import Checker
from optbench.trials.optimizers import Trial

Capture = Callable[[Callable[[], object]], Callable[[], object]]


def checked(algo: str, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> Checker:
    monkeypatch.setattr(opt_graph, "_beside", lambda work: work())
    monkeypatch.setattr(opt_graph, "_captured", capture)
    subject = subjects.load(algo)
    (case,) = opt_graph.cases(subject, Scope())
    checker = Checker()
    opt_graph.check(Trial(subject, registry.find("reference"), case, checker, {}, None))
    return checker


def at_its_rate(step: Any) -> Callable[[], object]:
    """A replay that has the rate of the capture baked in."""
    optimizer = step.__self__
    rate = optimizer.param_groups[0]["lr"].clone()

    def replay() -> object:
        optimizer.param_groups[0]["lr"].copy_(rate)
        return step()

    return replay


def taken(step: Callable[[], object]) -> Callable[[], object]:
    """A capture that takes the step."""
    step()
    return step


@pytest.mark.parametrize("algo", ["adadelta", "adam", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop"])
def test_eager_steps_equal_eager_steps(algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checker = checked(algo, lambda step: step, monkeypatch)
    assert checker.verdict == "pass" and checker.comparisons > 1000


@pytest.mark.parametrize(
    ("capture", "told"),
    [
        (at_its_rate, "step 4, a replay, parameter 0"),
        (taken, "a capture takes no step, step of parameter 0"),
        (lambda step: lambda: None, "step 4, a replay, step of parameter 0"),
    ],
)
def test_what_a_graph_must_not_do_is_told(capture: Capture, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked("adam", capture, monkeypatch).message.startswith(told)


def test_elsewhere_every_case_is_skipped_with_the_reason() -> None:
    results = list(conformance.run(Plan("adam", ("reference", "fused"), laws=("opt.graph",))))
    assert {(result.verdict, result.message) for result in results} == {
        ("skip", "it is about cuda devices only: --device cuda")
    }
    assert len(results) == 2


def test_a_graphics_card_is_asked_more() -> None:
    found = list(opt_graph.cases(subjects.load("adamw"), Scope(device="cuda")))
    assert {case.dtype for case in found} == {"float32", "bfloat16"} and len(found) == 4
