"""Schedulers, timed: one step of an optimizer with so many parameter groups, whose rates are Python floats."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from optbench.case import Case
from optbench.courses import course
from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.subjects import Subject
from optbench.timing.bench import BenchPlan
from optbench.timing.contest import TWIN, Contest, Observe, names_of
from optbench.timing.entrant import Refused, building, one_line
from optbench.timing.timer import Contestant
from optbench.timing.workloads import Workload
from optbench.trials import formulas
from optbench.trials.checker import Checker
from optbench.trials.schedulers import Trial

# Longer than any sample: a schedule that is over says nothing about one that goes on.
EPOCHS = 4096
# What happens again and again in a schedule happens within the epochs that are checked.
_PERIOD = 10
_CHECKED, _CHECKED_OF_MANY = 64, 16
_MANY_GROUPS = 1000
_JUDGED_GROUPS = 64
_METRIC = 1.0
_FIRST_CALLS: dict[tuple[str, str], float | None] = {}


def measure(
    plan: BenchPlan, subject: Subject, workload: Workload, seconds: float, observe: Observe = lambda name, phase: None
) -> list[Measurement]:
    """Check and time all schedulers on one workload; the arguments are those of `heat.measure`."""
    return Scheduling(plan, subject, workload, observe).hold(seconds)


def optimizer_of(groups: int, device: str) -> torch.optim.Optimizer:
    """An optimizer with momentum whose groups have a parameter of one element each, and different rates."""
    params = [torch.nn.Parameter(torch.zeros(1, device=device)) for _ in range(groups)]
    optimizer = torch.optim.SGD(params[:1], lr=_base(0), momentum=0.9)
    first = optimizer.param_groups[0]
    # Not by add_param_group, which compares each new group with all before it: 10,000 would take seconds.
    optimizer.param_groups += [{**first, "params": [param], "lr": _base(i)} for i, param in enumerate(params)][1:]
    return optimizer


def _base(group: int) -> float:
    return 0.1 / (1 + group % 7)


class Entrant:
    """One scheduler at work.

    Args:
        trial: builds it.
        groups: number of parameter groups.
    """

    def __init__(self, trial: Trial, groups: int) -> None:
        self.trial, self.groups, self.taken = trial, groups, 0
        self.scheduler: Any = None
        self.renew()

    def renew(self) -> None:
        """Start again from the first epoch."""
        self.optimizer = optimizer_of(self.groups, self.trial.case.device)
        self.taken = 0
        with building():
            self.scheduler = self.trial.build(self.optimizer)
        # Schedulers warn where the optimizer has not stepped before them.
        self.optimizer.step()
        self._step = self.scheduler.step
        self._arguments = (_METRIC,) if self.trial.subject.name == "reducelronplateau" else ()

    def step(self) -> None:
        self._step(*self._arguments)

    def before_sample(self, steps: int) -> None:
        """Start again where the schedule would end within the sample."""
        if self.taken + steps > EPOCHS:
            self.renew()
        self.taken += steps


class Scheduling(Contest):
    """All schedulers of one workload."""

    def __init__(self, plan: BenchPlan, subject: Subject, workload: Workload, observe: Observe) -> None:
        super().__init__(plan, subject, workload, observe)
        options = {**course(subject.name, EPOCHS, _PERIOD), **plan.options}
        self.case = Case(subject.name, options, "float64", device=plan.device)
        self.options = subject.complete(options)
        count = workload.groups
        self.judged = [i * (count - 1) // (_JUDGED_GROUPS - 1) for i in range(_JUDGED_GROUPS)]
        self.judged = list(range(count)) if count <= _JUDGED_GROUPS else self.judged
        self.epochs = _CHECKED_OF_MANY if count > _MANY_GROUPS else _CHECKED
        self.expected = self._expected()
        self.entrants: dict[str, Entrant] = {}
        self.errors: dict[str, float] = {}

    def admit(self, implementation: Implementation) -> None:
        reason = implementation.refusal(self.case)
        if reason:
            raise Refused(reason)
        self.first[implementation.name] = self._first_call(implementation)
        entrant = Entrant(self._trial(implementation), self.workload.groups)
        self.errors[implementation.name] = self._judge(entrant, "on this workload")
        self.entrants[implementation.name] = entrant

    def contestant(self, name: str, twin: bool = False) -> Contestant:
        entrant = self.entrants[name]
        if twin:
            entrant = Entrant(entrant.trial, entrant.groups)
        return Contestant(TWIN if twin else name, entrant.step, before_sample=entrant.before_sample)

    def still(self, name: str) -> None:
        entrant = self.entrants[name]
        entrant.renew()
        self._judge(entrant, "after it was timed")

    def blank(self, implementation: Implementation) -> Measurement:
        return replace(super().blank(implementation), dtype="float64")

    def facts(self, name: str) -> dict[str, Any]:
        return {"scaled_error": self.errors[name]}

    def _trial(self, implementation: Implementation) -> Trial:
        state, options = names_of(implementation)
        return Trial(self.subject, implementation, self.case, Checker(), state, options)

    def _expected(self) -> list[tuple[Sequence[float], Sequence[float] | None]]:
        """The rates, and the momenta where they are cycled, of the judged groups at every epoch that is checked."""
        bases, name = [_base(i) for i in self.judged], self.subject.name
        if name == "reducelronplateau":
            after = formulas.plateau(self.options, bases, [_METRIC] * self.epochs)
            return [(rates, None) for rates in [bases, *after]]
        return [
            (
                formulas.rates(name, self.options, bases, epoch),
                formulas.momenta(name, self.options, len(bases), epoch),
            )
            for epoch in range(self.epochs + 1)
        ]

    def _judge(self, entrant: Entrant, when: str) -> float:
        """Step from the first epoch on, and compare with the formula; the largest error in units of the spacing."""
        checker = Checker()
        groups = entrant.optimizer.param_groups
        for epoch, (rates, momenta) in enumerate(self.expected):
            if epoch:
                self._step(entrant)
            for number, i in enumerate(self.judged):
                checker.near(f"epoch {epoch}, rate of group {i}", float(groups[i]["lr"]), rates[number])
                if momenta:
                    checker.near(f"epoch {epoch}, momentum of group {i}", float(groups[i]["momentum"]), momenta[number])
        entrant.taken = self.epochs
        if checker.verdict == "fail":
            raise Refused(f"it does not match the oracle {when}: {checker.message}")
        return checker.error or 0.0

    def _step(self, entrant: Entrant) -> None:
        try:
            entrant.step()
        except Exception as error:
            raise Refused(f"its step raised {one_line(error)}") from error

    def _first_call(self, implementation: Implementation) -> float | None:
        """Seconds to import, build and step once with one group, the first time in this process.

        None where the implementation is ours and was imported before, so that it may have compiled already.
        """
        key = implementation.name, self.subject.name
        if key not in _FIRST_CALLS:
            known = implementation.ours and implementation.module in sys.modules
            start = time.perf_counter()
            self._step(Entrant(self._trial(implementation), 1))
            _FIRST_CALLS[key] = None if known else time.perf_counter() - start
        return _FIRST_CALLS[key]
