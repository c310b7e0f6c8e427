"""sch.momentum: momentum, or beta1, goes against the rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.subjects._schedule import Each

if TYPE_CHECKING:
    from optbench.trials.schedulers import Trial

LAW = Law(
    id="sch.momentum",
    level="math",
    statement="a cyclic schedule moves momentum, or beta1 and no other beta, against the rate, or leaves it alone",
    catches="beta2 lost, the wrong group's bounds, a momentum an epoch behind its rate",
    kind="scheduler",
    host=True,
)

_KINDS = ("sgd", "adam")
# The same as `_others` and `Run.momenta`, in scripts.
_OTHERS = ("[(group['betas'][1:], type(group['betas']).__name__) if 'betas' in group else group['dampening'] "
           "for group in optimizer.param_groups]")  # fmt: skip
_MOMENTA = "[group['betas'][0] if 'betas' in group else group['momentum'] for group in optimizer.param_groups]"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if "cycle_momentum" not in subject.defaults:
        return
    bounds = {"base_momentum": Each((0.8, 0.6)), "max_momentum": Each((0.9, 0.99))}
    for like in _KINDS:
        for options in ({}, subject.fullest, {**subject.fullest, **bounds}, {"cycle_momentum": False}):
            yield scope.case(subject, options, scope.dtypes[0], variant=like)
    yield scope.case(subject, {"cycle_momentum": False}, scope.dtypes[0], variant="plain")


def check(trial: Trial) -> None:
    from optbench.trials.schedulers import Run

    full = trial.full()
    optimizer = trial.optimizer(like=trial.case.variant)
    before = _others(optimizer)
    run = Run(trial, optimizer, trial.build(optimizer))
    last = trial.last(2 * trial.horizon())
    untouched = [] if full["cycle_momentum"] else trial.run(like=trial.case.variant).momenta
    for epoch in range(last + 1):
        if epoch:
            run.step(epoch)
        trial.judge(trial.case.variant, run, epoch)
        trial.checker.same(f"the other options at epoch {epoch}", _others(optimizer), before,
                           shown=f"{_OTHERS} == {before!r}")  # fmt: skip
        if untouched:
            trial.checker.same(f"the momenta at epoch {epoch}", run.momenta, untouched,
                               shown=f"{_MOMENTA} == {untouched!r}")  # fmt: skip


def _others(optimizer: Any) -> list[Any]:
    """beta2 and the like, which nobody asked to change."""
    return [
        (group["betas"][1:], type(group["betas"]).__name__) if "betas" in group else group["dampening"]
        for group in optimizer.param_groups
    ]
