"""Foreign code that keeps its state where nobody can see it: what it is still judged on, and what not."""

import pytest
import torch

from optbench import laws
from optbench.checking import Task, check
from optbench.law import Scope
from optbench.registry import Implementation
from optbench.subjects import load


class Velocity(torch.optim.Optimizer):
    """SGD with momentum; it keeps the buffer under another name, and a counter in its group."""

    wrong = 1.0
    touches = ()

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0):
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["steps"] = group.get("steps", 0) + 1
            for name in self.touches:
                group[name] = group[name] * 0.5
            for p in (each for each in group["params"] if each.grad is not None):
                update = p.grad + group["weight_decay"] * p
                if group["momentum"]:
                    kept, dampening = self.state[p].get("velocity"), group["dampening"]
                    update = update if kept is None else group["momentum"] * kept + (1 - dampening) * update
                    self.state[p]["velocity"] = update
                p.sub_(self.wrong * group["lr"] * update)


OPTIONS = frozenset({"lr", "momentum", "dampening", "weight_decay"})


def judged(law, cls=Velocity, options=OPTIONS):
    """The results of a law on foreign code, in float32."""
    foreign = Implementation("mine.py:Velocity", "foreign code", target="mine.py:Velocity", made=lambda *_: cls)
    subject = load("sgd").limited(options)
    cases = list(laws.entries()[law].cases(subject, Scope(dtypes=("float32",))))
    return [check(Task(law, case, foreign.name, True, "", options), foreign) for case in cases[:8]]


def verdicts(results):
    return {result.verdict for result in results if "tensor" not in result.message}


def wrong(**changes):
    return type("Wrong", (Velocity,), changes)


def test_parameters_are_judged_without_the_state():
    for law in ("opt.oracle", "opt.matches_reference", "opt.layouts"):
        assert verdicts(judged(law)) == {"pass"}
        assert "fail" in verdicts(judged(law, wrong(wrong=1.01)))


def test_what_has_to_see_the_state_is_a_skip_that_says_so():
    results = judged("opt.replaced")
    assert verdicts(results) == {"skip"}
    assert {result.message for result in results} == {
        "its state has no 'momentum_buffer', and no Adapter says what else it is called"
    }


def test_what_drives_a_parameter_on_is_taken_out_of_a_known_state_only():
    results = judged("opt.invariant")
    assert {result.verdict for result in results if "zero_gradient" in result.case} == {"skip"}
    assert {result.verdict for result in results if "zero_gradient" not in result.case} == {"pass"}
    plain = judged("opt.invariant", options=frozenset({"lr", "weight_decay"}))
    assert {result.verdict for result in plain if "zero_gradient" in result.case} == {"pass"}


def test_what_is_no_number_in_the_state_is_not_compared():
    class Noting(Velocity):
        def step(self, closure=None):
            super().step()
            for p in self.param_groups[0]["params"]:
                self.state[p]["seen"] = {"a set"}

    assert verdicts(judged("opt.partition", Noting)) == {"pass"}


def test_entries_that_it_adds_to_its_groups_are_its_own():
    assert verdicts(judged("opt.pure")) == {"pass"}
    assert verdicts(judged("opt.pure", wrong(touches=("weight_decay",)))) == {"fail"}


@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_an_option_that_is_no_entry_of_its_groups_is_not_changed_there(name):
    class Hidden(Velocity):
        def __init__(self, params, **options):
            super().__init__(params, **options)
            for group in self.param_groups:
                setattr(self, name, group[name])
                del group[name]

        def step(self, closure=None):
            for group in self.param_groups:
                group[name] = getattr(self, name)
            super().step()
            for group in self.param_groups:
                del group[name]

    found = {result.case: result for result in judged("opt.groups", Hidden, frozenset({"lr", "weight_decay"}))}
    changed = next(result for case, result in found.items() if "option_changed" in case)
    assert changed.verdict == "pass" and changed.comparisons
