"""sch.order: what parameters move by, in the right order of calls and in the wrong one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.schedulers import Trial

LAW = Law(
    id="sch.order",
    level="torch",
    statement="optimizer first, every rate is applied from epoch 0 on; scheduler first, one is skipped, with a warning",
    catches="a first rate that is never applied or applied twice, a wrong order or a wrong call that nobody is told of",
    kind="scheduler",
    host=True,
)

_RIGHT, _WRONG, _NAMED = "optimizer first", "scheduler first", "an epoch is named"
_REPLACED = "optimizer.step is replaced"
_EPOCHS = 5
# The epoch that is named, and the only scheduler whose documentation names epochs.
_THERE, _BY_EPOCH = 3, "cosineannealingwarmrestarts"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    # What it sets depends on metrics, not on how often it was called.
    orders = (_RIGHT,) if subject.name == "reducelronplateau" else (_RIGHT, _WRONG)
    # The steps of composites take none.
    named = () if "schedulers" in subject.defaults else (_NAMED,)
    # Composites leave that to their parts, and a plateau does not watch for it.
    replaced = (_REPLACED,) if named and len(orders) > 1 else ()
    for variant in (*orders, *named, *replaced):
        yield scope.case(subject, {}, scope.dtypes[0], variant=variant)


def check(trial: Trial) -> None:
    if trial.case.variant == _NAMED:
        _named(trial)
        return
    if trial.case.variant == _REPLACED:
        _replaced(trial)
        return
    optimizer = trial.optimizer(like="plain")
    scheduler = trial.build(optimizer, {**trial.case.options, **_still(trial)})
    wrong = trial.case.variant == _WRONG
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for epoch in range(trial.last(_EPOCHS)):
            if wrong:
                scheduler.step()
                _move(trial, optimizer, epoch + 1)
            else:
                _move(trial, optimizer, epoch)
                _step(trial, scheduler, epoch)
    order = [str(warning.message) for warning in told if "optimizer.step()" in str(warning.message)]
    # A composite's parts each warn.
    trial.checker.true("it warns of the order when that is wrong", bool(order) == wrong, f"{len(order)} warnings",
                       f"any('optimizer.step()' in str(each.message) for each in told) is {wrong}")  # fmt: skip
    trial.checker.true("the warning is a UserWarning", all(item.category is UserWarning for item in told),
                       shown="all(each.category is UserWarning for each in told)")  # fmt: skip
    if not (trial.implementation.target or trial.composite or trial.subject.name == "reducelronplateau"):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            trial.tell("told.clear()", lambda: None)
            rates = _ask_again(trial, scheduler)
        names = ["get_last_lr" in str(warning.message) for warning in told]
        trial.checker.same("warnings that get_lr() is for step() to call, and get_last_lr() to read", names, [True],
                           shown="['get_last_lr' in str(each.message) for each in told] == [True]")  # fmt: skip
        # What is told is the caller's.
        trial.tell("rates.clear()", rates.clear)
        for _ in range(2):
            scheduler.step()
            scheduler.step()
            trial.tell("scheduler.get_last_lr().clear()", scheduler.get_last_lr().clear)
            _move(trial, optimizer, scheduler.last_epoch)
        epoch = scheduler.last_epoch
        if hasattr(scheduler, "lr_at"):
            trial.judge_told(scheduler.lr_at(epoch), epoch, trial.expected(epoch))


def _ask_again(trial: Trial, scheduler: Any) -> list[Any]:
    """The rates that are told out of turn."""
    from optbench.trials import formulas
    from optbench.trials.schedulers import LRS

    name, full, epoch = trial.subject.name, trial.full(), scheduler.last_epoch
    rates = trial.expected(epoch)
    told: list[Any] = trial.make("rates", scheduler.get_lr, "scheduler.get_lr()")
    if not trial.subject.absolute:
        # From the rate that stands there one step on, to the epoch at which it stands.
        rates = [formulas.onwards(name, formulas.of_group(full, i), base, rate, epoch - 1, epoch)
                 for i, (base, rate) in enumerate(zip(LRS, rates, strict=True))]  # fmt: skip
    for i, (lr, rate) in enumerate(zip(told, rates, strict=True)):
        trial.checker.near(f"get_lr() of group {i} at epoch {epoch}", float(lr), rate,
                           shown=f"abs(rates[{i}] - {rate!r}) <= {1e-12 * abs(rate)!r}")  # fmt: skip
    return told


def _named(trial: Trial) -> None:
    """It is there then, and warns that epochs count themselves."""
    from optbench.trials.base import Unsupported
    from optbench.trials.schedulers import METRICS

    if trial.implementation.target:
        raise Unsupported("what foreign code does with an epoch is its own affair")
    run = trial.run()
    run.optimizer.step()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run.scheduler.step(*METRICS[:1] if trial.subject.name == "reducelronplateau" else (), epoch=_THERE)
    trial.checker.same("last_epoch", run.scheduler.last_epoch, _THERE, shown=f"scheduler.last_epoch == {_THERE}")
    _warns(trial, told, "of the epoch", "epoch", trial.subject.name != _BY_EPOCH)


def _replaced(trial: Trial) -> None:
    """Steps that are not seen cannot be counted, which is said."""
    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("whether foreign code watches the optimizer is its own affair")
    run = trial.run()
    run.optimizer.step()
    trial.tell("optimizer.step = type(optimizer).step.__get__(optimizer)", partial(_replace, run.optimizer))
    run.optimizer.step()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run.scheduler.step()
    _warns(trial, told, "that optimizer.step() was replaced", "optimizer.step()", True)


def _replace(optimizer: Any) -> None:
    optimizer.step = type(optimizer).step.__get__(optimizer)


def _warns(trial: Trial, told: list[warnings.WarningMessage], what: str, names: str, warns: bool) -> None:
    """One warning, of what is named; or none at all."""
    seen = [names in str(warning.message) and warning.category is UserWarning for warning in told]
    trial.checker.same(f"warnings {what}", seen, [True] * warns, shown=f"[{names!r} in str(each.message) and "
                       f"each.category is UserWarning for each in told] == {[True] * warns}")  # fmt: skip


def _still(trial: Trial) -> dict[str, Any]:
    """Momentum would mix the rates of several steps."""
    return {"cycle_momentum": False} if "cycle_momentum" in trial.subject.defaults else {}


def _step(trial: Trial, scheduler: Any, epoch: int) -> None:
    from optbench.trials.schedulers import METRICS

    if trial.subject.name == "reducelronplateau":
        scheduler.step(METRICS[epoch])
    else:
        scheduler.step()


def _move(trial: Trial, optimizer: Any, epoch: int) -> None:
    """A step of gradient 1 from 0, which moves a parameter by its rate."""
    import torch

    params = [group["params"][0] for group in optimizer.param_groups]
    for param in params:
        param.data.zero_()
        param.grad = torch.ones_like(param)
    optimizer.step()
    for i, (param, rate) in enumerate(zip(params, trial.expected(epoch), strict=True)):
        # That is the rate itself, which scripts read.
        shown = f"abs(optimizer.param_groups[{i}]['lr'] - {rate!r}) <= {1e-12 * abs(rate)!r}"
        trial.checker.near(f"step {epoch + 1} of group {i}", -param.item(), rate, shown=shown)
