"""sch.resume_anywhere: a run that was cut at any epoch goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.subjects._schedule import Part

if TYPE_CHECKING:
    from optbench.trials.schedulers import Run, Trial

LAW = Law(
    id="sch.resume_anywhere",
    level="state",
    statement="cut at any epoch and resumed by state_dict, in any order, or by last_epoch, the rates go on the same",
    catches="a boundary that decays twice, a rate that building overwrote, an epoch counted from the wrong end",
    kind="scheduler",
    host=True,
)

_ORDERS = ("load optimizer, build, load scheduler", "build, load optimizer, load scheduler",
           "build, load scheduler, load optimizer")  # fmt: skip
_LAST_EPOCH = ("last_epoch", "last_epoch and no more than rates in the groups")
_TWICE = "last_epoch, then loaded"
_BOTH = "beside another scheduler"
_INTERCHANGE = ("from torch", "to torch")
# Where options become bounds that the groups keep: what is none of their defaults.
_BOUNDED: dict[str, dict[str, Any]] = {
    "onecyclelr": {"total_steps": 8, "div_factor": 5.0, "final_div_factor": 20.0, "base_momentum": 0.7,
                   "max_momentum": 0.97},
    "cycliclr": {"step_size_up": 3, "base_momentum": 0.7, "max_momentum": 0.97},
}  # fmt: skip
_LONGEST = 14
# Epochs that are judged after each cut: what comes later follows a later cut as well.
_ON = 4
_BESIDE = Part("exponentiallr", {"gamma": 0.9})
_BOUNDS = {"base_momentum": 0.85, "max_momentum": 0.95}
# The second begins at the rate that the first has left, which building either changes.
_GOING_ON: dict[str, Any] = {
    "schedulers": (Part("linearlr", {"total_iters": 4}), Part("swalr", {"swa_lr": 0.02, "anneal_epochs": 4})),
    "milestones": (3,),
}
_CYCLES = Part("cycliclr", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, **_BOUNDS})
# All move the momentum, between bounds that are the groups'.
_MOVING: dict[str, Any] = {
    "schedulers": (
        Part("onecyclelr", {"max_lr": 1.0, "total_steps": 8}),
        Part("sequentiallr", {"schedulers": (_CYCLES, _CYCLES), "milestones": (4,)}),
        Part("chainedscheduler", {"schedulers": (_CYCLES,)}),
    ),
    "milestones": (5, 11),
}
_NESTED: dict[str, Any] = {
    "schedulers": (
        # Passed over.
        _BESIDE,
        Part("linearlr", {"total_iters": 4}),
        Part("sequentiallr", {
            "schedulers": (_BESIDE, Part("constantlr", {"factor": 0.5}), Part("steplr", {"step_size": 2})),
            "milestones": (1, 4),
        }),
        Part("chainedscheduler", {"schedulers": (Part("constantlr", {"factor": 0.25, "total_iters": 2}), _BESIDE)}),
    ),
    "milestones": (0, 2, 9),
}

Saved = tuple[dict[str, Any], dict[str, Any]]


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    by_epoch = () if subject.name in ("reducelronplateau", "chainedscheduler") else (*_LAST_EPOCH, _TWICE)
    for variant in (*_ORDERS, *by_epoch, _BOTH, *_INTERCHANGE):
        yield scope.case(subject, subject.fullest, scope.dtypes[0], variant=variant)
        if scope.suite == "full" or variant in (_ORDERS[0], "last_epoch"):
            yield scope.case(subject, {}, scope.dtypes[0], variant=variant)
    if subject.name == "sequentiallr":
        for options in (_MOVING, _NESTED, _GOING_ON):
            for variant in (*_ORDERS, _LAST_EPOCH[0], _TWICE):
                yield scope.case(subject, options, scope.dtypes[0], variant=variant)
    if "cycle_momentum" in subject.defaults:
        yield scope.case(subject, {"cycle_momentum": False}, scope.dtypes[0], variant=_ORDERS[0])
    for variant in by_epoch if subject.name in _BOUNDED else ():
        yield scope.case(subject, _BOUNDED[subject.name], scope.dtypes[0], variant=variant)


def check(trial: Trial) -> None:
    from optbench.trials.base import Unsupported

    last = trial.last(min(trial.horizon() + 3, _LONGEST))
    variant = trial.case.variant
    if variant in _INTERCHANGE and trial.implementation.target:
        raise Unsupported("checkpoints of torch's schedulers are asked of our tiers")
    if variant == _BOTH:
        _beside(trial, last)
        return
    torch = variant in _INTERCHANGE and trial.plain_torch
    source = _run(trial, torch if variant == "from torch" else None)
    saved = [source.saved()]
    for epoch in range(1, last + 1):
        source.step(epoch)
        saved.append(source.saved())
    for k in range(1 if variant in (*_LAST_EPOCH, _TWICE) else 0, last + 1):
        run = _resumed(trial, _LAST_EPOCH[0] if variant == _TWICE else variant, saved[k], k)
        if variant == _TWICE:
            run = _resumed(trial, _ORDERS[1], run.saved(), k)
        _bases(trial, f"resumed at {k}", run, source)
        trial.follow(f"resumed at {k}", run, k, min(k + _ON, last))


def _bases(trial: Trial, what: str, run: Run, source: Run) -> None:
    """Its rates at epoch 0, which everybody reads, and some forms of a schedule only."""
    bases = [getattr(each.scheduler, "base_lrs", None) for each in (run, source)]
    if None not in bases:
        numbers = [[float(base) for base in each or ()] for each in bases]
        trial.checker.same(f"{what}, base_lrs", *numbers, shown=f"list(map(float, scheduler.base_lrs)) == {numbers[1]}")


def _run(trial: Trial, implementation: Any = None) -> Run:
    from optbench.trials.schedulers import Run

    optimizer = trial.optimizer()
    return Run(trial, optimizer, trial.build(optimizer, implementation=implementation or None))


def _resumed(trial: Trial, variant: str, saved: Saved, k: int) -> Run:
    from optbench.trials.schedulers import LRS, Run

    # Of other rates, so that all that goes on comes from what was saved.
    optimizer = trial.optimizer([lr / 4 for lr in LRS])
    if variant in _LAST_EPOCH:
        if variant == "last_epoch":
            optimizer.load_state_dict(saved[0])
        else:
            for group, held in zip(optimizer.param_groups, saved[0]["param_groups"], strict=True):
                group["initial_lr"], group["lr"] = held.get("initial_lr", group["lr"]), held["lr"]
        return Run(trial, optimizer, trial.build(optimizer, last_epoch=k - 1))
    if variant == _ORDERS[0]:
        optimizer.load_state_dict(saved[0])
    scheduler = trial.build(optimizer, implementation=trial.plain_torch if variant == "to torch" else None)
    if variant == _ORDERS[2]:
        scheduler.load_state_dict(saved[1])
        optimizer.load_state_dict(saved[0])
    else:
        if variant != _ORDERS[0]:
            optimizer.load_state_dict(saved[0])
        scheduler.load_state_dict(saved[1])
    return Run(trial, optimizer, scheduler)


def _beside(trial: Trial, last: int) -> None:
    """Two independent schedulers: all are built, then loaded, the optimizer last; each scales the other's rate."""
    run, other = _pair(trial)
    rates, saved = [run.lrs], [(run.saved(), other.state_dict().copy())]
    for epoch in range(1, last + 1):
        run.step(epoch)
        other.step()
        rates.append(run.lrs)
        saved.append((run.saved(), other.state_dict().copy()))
    for k in range(last + 1):
        run, other = _pair(trial)
        (optimizer_state, scheduler_state), other_state = saved[k]
        run.scheduler.load_state_dict(scheduler_state)
        other.load_state_dict(other_state)
        run.optimizer.load_state_dict(optimizer_state)
        for epoch in range(k, min(k + _ON, last) + 1):
            if epoch > k:
                run.step(epoch)
                other.step()
            for i, (actual, rate) in enumerate(zip(run.lrs, rates[epoch], strict=True)):
                trial.judge_rate(f"resumed at {k}", i, epoch, actual, rate)


def _pair(trial: Trial) -> tuple[Run, Any]:
    run = trial.run()
    return run, trial.of_part(_BESIDE, run.optimizer)
