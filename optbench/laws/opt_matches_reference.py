"""opt.matches_reference: fifty steps in one go, nothing synchronised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trial import Trial

LAW = Law(
    id="opt.matches_reference",
    level="math",
    statement="after 1 and after 50 steps in one go, parameters, state and step counters match the reference tier",
    catches="errors that build up: a counter off by one, a stale buffer, a bias correction that never ends",
    host=True,
)

_STEPS = 50


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    options = {option.name: option.values for option in subject.options}
    rows = pairwise.rows(options, subject.forbidden, scope.seed)
    dtypes = scope.some("float32", "bfloat16", "float64")
    for number, row in enumerate(rows if scope.suite == "full" else rows[:6]):
        yield scope.case(subject, row, dtypes[number % len(dtypes)], moment="late", shapes="pair", steps=_STEPS)


def check(trial: Trial) -> None:
    run = trial.run()
    checker, names = trial.checker, trial.subject.state_names(trial.case.options)
    judged = (0, trial.case.steps - 1)
    expectations = dict(zip(judged, trial.rollout(*judged), strict=True))
    for k in range(trial.case.steps):
        run.step(k)
        for i, expected in enumerate(expectations.get(k, [])):
            state, where = run.state(i), f"step {k + 1}"
            for name in names:
                if name in expected and (name in state or not trial.implementation.target):
                    checker.true(f"{where}, {name} of parameter {i} is kept", name in state)
                    checker.close(f"{where}, {name} of parameter {i}", state[name], expected[name], trial.dtype)
            if "step" in state:
                given = sum(trial.problem.grad(i, j) is not None for j in range(k + 1))
                checker.same(f"{where}, step of parameter {i}", float(state["step"]), float(given))
            if "param" in expected:
                checker.close(f"{where}, parameter {i}", run.params[i], expected["param"], trial.dtype)
