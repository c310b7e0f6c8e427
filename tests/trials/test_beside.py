"""Two runs beside each other: what rounding may do passes, all else is told with its name."""

from __future__ import annotations

import torch

from optbench import registry, subjects
from optbench.case import Case
from optbench.trials.beside import Beside
from optbench.trials.checker import Checker
from optbench.trials.optimizers import Trial


def _pair(subject: str = "adam") -> Beside:
    item = registry.IMPLEMENTATIONS["foreach"]
    case = Case(subject, shapes="pair")
    trial = Trial(subjects.load(subject), item, case, Checker(), {}, None)
    return Beside(trial, trial.run(), trial.run())


def _stepped(beside: Beside, steps: int = 2) -> Beside:
    for k in range(steps):
        beside.note()
        beside.run.step(k)
        beside.plain.step(k)
    return beside


def test_equal_runs_pass() -> None:
    beside = _stepped(_pair())
    beside.compare("after two steps")
    assert beside.trial.checker.verdict == "pass"
    assert beside.trial.checker.comparisons > 100


def test_a_few_spacings_of_what_an_element_was_are_rounding() -> None:
    beside = _stepped(_pair())
    with torch.no_grad():
        for param, other in zip(beside.run.params, beside.plain.params, strict=True):
            # Almost nothing is left of the elements, whose earlier roundings stay.
            other.mul_(2.0**-10)
            param.copy_(other + 2.0**-24 * torch.sign(other))
    beside.compare("after two steps")
    assert beside.trial.checker.verdict == "pass"
    unaware = Beside(beside.trial, beside.run, beside.plain)
    unaware.compare("by what is left alone")
    assert "by what is left alone, parameter 0: scaled error" in beside.trial.checker.message


def test_the_first_wrong_quantity_is_named() -> None:
    beside = _stepped(_pair())
    beside.run.optimizer.state[beside.run.params[1]]["exp_avg"].mul_(1.0001)
    beside.compare("after two steps")
    assert "after two steps, exp_avg of parameter 1" in beside.trial.checker.message


def test_a_missing_entry_and_a_counter_are_told() -> None:
    beside = _stepped(_pair())
    del beside.run.optimizer.state[beside.run.params[0]]["exp_avg"]
    beside.run.optimizer.state[beside.run.params[1]]["step"] += 1
    beside.compare("after two steps")
    assert beside.trial.checker.failed == 2
