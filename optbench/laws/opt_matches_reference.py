"""opt.matches_reference: fifty steps in one go, nothing synchronised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.matches_reference",
    level="math",
    statement="after 1 and after 50 steps in one go, parameters, state and step counters match the reference tier",
    catches="errors that build up: a counter off by one, a stale buffer, a bias correction that never ends",
    host=True,
)

_STEPS = 50
_FEW_STEPS = 3


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    options = {option.name: option.values for option in subject.options}
    rows = pairwise.rows(options, subject.forbidden)
    dtypes = scope.some("float32", "bfloat16", "float64")
    # What one parameter does decides what all others do there, so that errors grow with every step.
    steps = _STEPS if subject.sees != "all" else _FEW_STEPS
    for number, row in enumerate(rows if scope.suite == "full" else rows[:6]):
        yield scope.case(subject, row, dtypes[number % len(dtypes)], moment="late", shapes="pair", steps=steps)


def check(trial: Trial) -> None:
    from optbench.trials.oracle import After

    run = trial.run()
    if trial.subject.closure:
        trial.follow_unsynchronised_whole(run)
        return
    judged = (0, trial.case.steps - 1)
    expectations = dict(zip(judged, trial.rollout(*judged), strict=True))
    for k in range(trial.case.steps):
        run.step(k)
        for i, (expected, numbers) in enumerate(expectations.get(k, [])):
            given = sum(trial.problem.grad(i, j) is not None for j in range(k + 1))
            if "param" in expected:
                trial.compare(run, i, None, After(expected, given, numbers), f"step {k + 1}")
