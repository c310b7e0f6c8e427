"""opt.bit_exact: a grade, not a demand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.bit_exact",
    level="math",
    statement="a grade: equal to the reference tier (the reference: to torch's for-loop) to the last bit, three steps",
    catches="nothing by itself; it says how far two paths may be compared bit by bit",
    grade=True,
)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for dtype in scope.some("float32", "float64", "bfloat16"):
        yield scope.case(subject, {}, dtype, shapes="pair")


def check(trial: Trial) -> None:
    from optbench import registry

    run, judge = trial.run(), trial.run()
    judge.optimizer = trial.build(judge.params, trial.case.options, registry.find(trial.judge))
    for k in range(trial.case.steps):
        run.step(k)
        judge.step(k)
    for i, (actual, expected) in enumerate(zip(run.params, judge.params, strict=True)):
        trial.checker.equal(f"parameter {i} after {trial.case.steps} steps", actual, expected)
