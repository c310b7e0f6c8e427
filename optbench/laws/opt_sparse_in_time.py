"""opt.sparse_in_time: a parameter without a gradient stands still, and so does its clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.sparse_in_time",
    level="state",
    statement="a gradient of None on some steps, late or never: all is counted per parameter; zeros are no None",
    catches="one step counter for all, a first step per optimizer instead of per parameter, state for what never moved",
    host=True,
    formula=False,
)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    chosen = [subject.fullest]
    if subject.name == "sgd":
        both = {"momentum": 0.9, "weight_decay": 0.1}
        chosen.append({name: value for name, value in both.items() if name in subject.defaults})
    for moment in ("late", "gap", "never"):
        for options in chosen:
            for dtype in scope.some("float32", "bfloat16"):
                yield scope.case(subject, options, dtype, moment=moment, steps=5)
    usual = scope.some("float32")[0]
    yield scope.case(subject, subject.fullest, usual, stream="zeros in between", steps=5)
    # Whatever is paired with another parameter's has its shape.
    yield scope.case(subject, subject.fullest, usual, moment="gap", shapes="5x3,5x3,5x3", steps=4)


def space(subject: Subject, scope: Scope) -> Space:
    options = {option.name: option.values for option in subject.options}
    moments = ("late", "gap", "never")
    return Space(options, subject.forbidden, scope.some("float32", "bfloat16"), moments=moments, steps=(1, 5))


def check(trial: Trial) -> None:
    run = trial.follow_oracle()
    for i in range(len(run.params)):
        if all(trial.problem.grad(i, k) is None for k in range(trial.case.steps)):
            if trial.subject.state_at_start:
                fresh = trial.run(start=trial.problem.start).state(i)
                same = all(bool((run.state(i)[name] == fresh[name]).all()) for name in fresh)
                trial.checker.true(f"the state of parameter {i}, which never had a gradient, is as at the start", same)
                continue
            kept = sorted(run.state(i))
            alone = trial.subject.sees != "all" or i > 0
            trial.checker.true(
                f"parameter {i} never had a gradient and has no state", not (kept and alone), f"it has {kept}",
                f"not optimizer.state.get(params[{i}])",
            )  # fmt: skip
