"""sch.errors: what is illegal is refused, by the right type, by name, and before anything was changed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.case import Case, format_value
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.schedulers import Run, Trial

LAW = Law(
    id="sch.errors",
    level="torch",
    statement="every illegal argument raises torch's exception type and names the value, and changes nothing",
    catches="illegal options that are accepted, or fail later, or after the optimizer's groups were changed",
    kind="scheduler",
    host=True,
)

_ARGUMENTS = "arguments"
_NO_OPTIMIZER, _NO_INITIAL_LR, _LAST_WITHOUT, _NO_MOMENTUM, _FOREIGN_PART = (
    "no optimizer", "no initial_lr", "no initial_lr in the last group", "no momentum", "a part of another optimizer",
)  # fmt: skip
_NO_EPOCH = "an epoch that is not there"
_GROUPS = "[{name: group[name] for name in group if name != 'params'} for group in optimizer.param_groups]"
# What is no optimizer, and one without momentum, in scripts.
_NOT_ONE = (
    'type("_NotAnOptimizer", (), {"param_groups": [{"lr": 0.1, "params": [], "momentum": 0.9}] * 2, '
    '"defaults": {"lr": 0.1, "momentum": 0.9}, "step": lambda self: None})()'
)
_ADAGRAD = "torch.optim.Adagrad([torch.zeros(1, requires_grad=True)], 0.1)"
# Schedules that have not every epoch: how many epochs are gone, and what can be asked for no more.
_BEFORE_OR_AFTER: dict[str, tuple[int, tuple[float, ...]]] = {
    "cosineannealingwarmrestarts": (3, (-1, -0.5)),
    # As many steps as it has may be taken, of which the last leads past the last epoch.
    "onecyclelr": (20, (21, 22)),
}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for number, illegal in enumerate(subject.illegal):
        text = ",".join(f"{name}={format_value(value)}" for name, value in illegal.options.items())
        yield scope.case(subject, {}, scope.dtypes[0], variant=f"illegal-{number}:{text}")
    composite = "schedulers" in subject.defaults
    further = [_FOREIGN_PART] if composite else [_NO_OPTIMIZER]
    further += [] if composite or subject.name == "reducelronplateau" else [_NO_INITIAL_LR, _LAST_WITHOUT]
    further += [_ARGUMENTS]
    further += [_NO_MOMENTUM] if "cycle_momentum" in subject.defaults else []
    further += [_NO_EPOCH] if subject.name in _BEFORE_OR_AFTER else []
    for variant in further:
        yield scope.case(subject, {}, scope.dtypes[0], variant=variant)


def check(trial: Trial) -> None:
    variant = trial.case.variant
    optimizer = trial.optimizer()
    if variant == _ARGUMENTS:
        _arguments(trial)
    elif variant == _NO_OPTIMIZER:
        _expect(trial, trial.keep("optimizer", _NotAnOptimizer(), _NOT_ONE), {}, TypeError, "_NotAnOptimizer")
    elif variant in (_NO_INITIAL_LR, _LAST_WITHOUT):
        for group in optimizer.param_groups[:-1] if variant == _LAST_WITHOUT else ():
            group["initial_lr"] = group["lr"]
        _expect(trial, optimizer, {}, KeyError, "initial_lr", last_epoch=3)
    elif variant == _NO_MOMENTUM:
        import torch

        adagrad = torch.optim.Adagrad([torch.zeros(1, requires_grad=True)], 0.1)
        _expect(trial, trial.keep("optimizer", adagrad, _ADAGRAD), {}, ValueError, "momentum")
    elif variant == _FOREIGN_PART:
        _foreign_part(trial)
    elif variant == _NO_EPOCH:
        _no_epoch(trial)
    else:
        illegal = trial.subject.illegal[int(variant.partition(":")[0].removeprefix("illegal-"))]
        _expect(trial, optimizer, dict(illegal.options), illegal.error, illegal.names)


def _arguments(trial: Trial) -> None:
    """The constructor takes torch's arguments, in torch's order, with torch's defaults."""
    import inspect

    name, module = trial.subject.class_name, trial.subject.module
    mine, theirs = (
        [(each.name, each.default) for each in inspect.signature(who.load(name, module)).parameters.values()]
        for who in (trial.implementation, trial.plain_torch)
    )
    trial.checker.same("arguments and their defaults", mine, theirs)


class _NotAnOptimizer:
    """Has what an optimizer has, and is none."""

    def __init__(self) -> None:
        self.param_groups = [{"lr": 0.1, "params": [], "momentum": 0.9}] * 2
        self.defaults = {"lr": 0.1, "momentum": 0.9}

    def step(self) -> None:
        """Not called."""


def _expect(
    trial: Trial, optimizer: Any, options: dict[str, Any], error: type[Exception] | str, names: str,
    last_epoch: int = -1,
) -> None:  # fmt: skip
    legal = {} if "schedulers" in options else trial.case.options
    before = trial.keep("before", _groups(optimizer), _GROUPS)
    what = trial.case.variant.partition(":")[2] or trial.case.variant
    trial.checker.raises(what, error, lambda: trial.build(optimizer, {**legal, **options}, last_epoch), names)
    if "schedulers" not in options:
        # Parts are built before the composite that refuses them.
        trial.checker.same("the groups after the refusal", _groups(optimizer), before, shown=f"{_GROUPS} == before")


def _no_epoch(trial: Trial) -> None:
    """Neither step(epoch) nor lr_at(epoch) goes there, and the run stays where it was."""
    run = trial.run()
    gone, wrong = _BEFORE_OR_AFTER[trial.subject.name]
    ends = gone >= trial.last(gone) + 1
    for epoch in range(1, gone + 1):
        run.step(epoch)
    before = trial.keep("before", _groups(run.optimizer), _GROUPS), run.scheduler.last_epoch
    told = getattr(run.scheduler, "lr_at", None)
    if ends:
        trial.checker.raises("one step too many", ValueError, lambda: run.step(gone + 1), str(gone + 1))
        _stays(trial, run, before)
        if told:
            trial.checker.same(f"lr_at({gone})", told(gone), run.lrs, shown=f"scheduler.lr_at({gone}) == {run.lrs!r}")
    for other in wrong if run.jumps else ():
        trial.checker.raises(f"step({other})", ValueError, partial(run.goto, other), str(other))
        _stays(trial, run, before)
        if told and ends:
            trial.checker.raises(f"lr_at({other})", ValueError, partial(told, other), str(other))
    if not ends:
        trial.follow("goes on", run, gone, gone + 2)


def _stays(trial: Trial, run: Run, before: tuple[list[dict[str, Any]], int]) -> None:
    groups = _groups(run.optimizer)
    trial.checker.same("the groups after the refusal", groups, before[0], shown=f"{_GROUPS} == before")
    if not trial.implementation.target:
        trial.checker.same("last_epoch after the refusal", run.scheduler.last_epoch, before[1],
                           shown=f"scheduler.last_epoch == {before[1]}")  # fmt: skip


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def _foreign_part(trial: Trial) -> None:
    from optbench.subjects._schedule import Part

    mine, theirs = trial.optimizer(), trial.optimizer()
    for owners in ((mine, theirs), (theirs, theirs)):
        made = [trial.of_part(part, owner) for part, owner in zip(trial.full()["schedulers"], owners, strict=False)]
        composite = Part(trial.subject.name, {**trial.case.options, "schedulers": tuple(made)})
        trial.checker.raises(_FOREIGN_PART, ValueError, partial(trial.of_part, composite, mine), "optimizer")
