"""sch.degenerate: at the edge of what is legal there is a limit, or a refusal at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

from . import sch_formula

if TYPE_CHECKING:
    from optbench.trials.schedulers import Run, Trial

LAW = Law(
    id="sch.degenerate",
    level="math",
    statement="no length, length 1, factor 0, a milestone at 0, twice or between epochs, huge: a limit or ValueError",
    catches="a division by zero in the middle of a run, an end that is never met, a milestone that is passed over",
    kind="scheduler",
    host=True,
)

_EPOCHS = 12
# Restarts of cycles that grow by a factor of 10 and of 3, where logarithms come out below the integer.
_FAR = (111, 121)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for options in subject.degenerate:
        yield scope.case(subject, options, scope.dtypes[0])


def check(trial: Trial) -> None:
    try:
        run = trial.run()
    except ValueError as error:
        trial.checker.true("refused at construction", bool(str(error)), "without a word")
        if not trial.implementation.target:
            trial.checker.true("is taken, as by torch, which gives the limit", not _torch_keeps(trial), str(error),
                               "refused is None")  # fmt: skip
        return
    except (ArithmeticError, KeyError, TypeError) as error:
        trial.checker.true("has a limit, or is refused with ValueError", False, f"{type(error).__name__}: {error}",
                           "type(refused) in (type(None), ValueError)")  # fmt: skip
        return
    try:
        trial.expected(_EPOCHS)
    except ArithmeticError:
        trial.checker.true("is refused with ValueError, because there is no limit", False, "it was accepted",
                           "type(refused) is ValueError")  # fmt: skip
        return
    _follow(trial, run)


def _torch_keeps(trial: Trial) -> bool:
    """Whether torch takes these options and keeps the law with them."""
    from optbench.trials.checker import Checker

    twin = replace(trial, implementation=trial.plain_torch, checker=Checker(), journal=None)
    try:
        _follow(twin, twin.run())
    except (ArithmeticError, ValueError):
        return False
    return twin.checker.verdict == "pass"


def _follow(trial: Trial, run: Run) -> None:
    last = trial.last(_EPOCHS)
    trial.judge("as built", run, 0)
    for epoch in range(1, last + 1):
        try:
            run.step(epoch)
        except Exception as error:
            trial.checker.true(f"goes on to epoch {epoch}", False, f"{type(error).__name__}: {error}",
                               "refused is None")  # fmt: skip
            return
        trial.judge("step by step", run, epoch)
    sch_formula.told_ahead(trial, run, range(last + 1))
    if trial.subject.name == "onecyclelr":
        _end(trial, run)
    if sch_formula.has_epochs(trial.subject) and run.jumps:
        _closed(trial, trial.run(), last)


def _end(trial: Trial, run: Run) -> None:
    try:
        sch_formula.beyond(trial, run)
    except ArithmeticError as error:
        trial.checker.true("says that it is over", False, f"{type(error).__name__}: {error}",
                           "type(refused) in (type(None), ValueError)")  # fmt: skip


def _closed(trial: Trial, run: Run, last: int) -> None:
    for epoch in (last, 1, 0, 2, 3, *_FAR):
        if epoch <= last or trial.last(epoch) == epoch:
            try:
                run.goto(epoch)
            except Exception as error:
                trial.checker.true(f"step({epoch}) goes there", False, f"{type(error).__name__}: {error}",
                                   "refused is None")  # fmt: skip
                return
            trial.judge("step(epoch)", run, epoch)
