"""sch.formula: the rate is the formula's, step by step and at any epoch, over three times the horizon."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject
from optbench.trials import formulas

if TYPE_CHECKING:
    from optbench.trials.schedulers import Run, Trial

LAW = Law(
    id="sch.formula",
    level="math",
    statement="the rate is the formula's within 1e-12 of itself, by steps and at any epoch, inside exact bounds",
    catches="a recursion that drifts or blows up past its end, a closed form of something else, an epoch off by one",
    kind="scheduler",
    host=True,
)

BY_EPOCH, _PAST = "any epoch", "past its end"
# torch has no closed form of these, where step(epoch) is one more step.
_TAKE_AN_EPOCH = ("multiplicativelr", "swalr")
_NO_EPOCH = ("reducelronplateau", "sequentiallr", "chainedscheduler", *_TAKE_AN_EPOCH)
# The documentation steps these by fractions of an epoch.
_FRACTIONS = ("cosineannealingwarmrestarts",)
_LONGEST = 200
# A long way, near the ends of which closed forms cancel: the epochs are visited one after another in the full suite.
_LONG: dict[str, dict[str, Any]] = {
    "cosineannealinglr": {"T_max": 1000},
    "cosineannealingwarmrestarts": {"T_0": 400, "T_mult": 2},
    "cycliclr": {"step_size_up": 700, "step_size_down": 300},
    "linearlr": {"total_iters": 1000, "end_factor": 0.001},
    "onecyclelr": {"total_steps": 1000, "base_momentum": 0.0},
    "polynomiallr": {"total_iters": 1000, "power": 2.0},
    "swalr": {"anneal_epochs": 1000},
}
_LONG_WAY = "a long way"
_THERE = 3
# A share of a cycle that is rounded, so that its top is between two epochs.
_ROUNDED: dict[str, tuple[dict[str, Any], ...]] = {
    "cycliclr": tuple({"step_size_up": up, "step_size_down": down} for up, down in ((7, 18), (15, 7), (2, 47))),
}
_TOLD = "it is told an epoch"
_OWN = "a subclass of a user"
_CALLS = "calls of its function"
_NEAR = (0, 1, 298, 299, 300, 301, 399, 400, 698, 699, 700, 998, 999, 1000, 1001, 1199, 1200, 1999, 2000, 2001)


def has_epochs(subject: Subject) -> bool:
    """Whether its `step` goes to an epoch that it is given."""
    return subject.name not in _NO_EPOCH


def factors(subject: Subject, scope: Scope) -> tuple[dict[str, Sequence[Any]], list[Any]]:
    """What is combined pairwise, and the pairs that cannot stand together."""
    combined: dict[str, Sequence[Any]] = {option.name: option.values for option in subject.options}
    combined["dtype"] = scope.limited(subject).dtypes
    by_epoch = (BY_EPOCH,) if has_epochs(subject) else ()
    past = (_PAST,) if subject.name == "onecyclelr" else ()
    combined["moment"] = ("every step", *by_epoch, *past)
    return combined, list(subject.forbidden)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    combined, forbidden = factors(subject, scope)
    seeds = [0] if scope.suite != "full" else [0, *range(scope.seed + 1, scope.seed + 4)]
    for seed in seeds:
        for row in pairwise.rows(combined, forbidden, seed):
            dtype, moment = row.pop("dtype"), row.pop("moment")
            yield scope.case(subject, row, dtype, moment=moment, variant=f"seed={seed}" if seed else "")
    for option in subject.options:
        for value in option.values if option.needs else ():
            # Where nothing else decides in its place.
            yield scope.case(subject, {**option.needs, option.name: value}, scope.dtypes[0])
    for options in _ROUNDED.get(subject.name, ()):
        yield scope.case(subject, options, scope.dtypes[0], variant="a share that is rounded")
    if subject.name in _TAKE_AN_EPOCH:
        for chosen in ({}, subject.fullest):
            yield scope.case(subject, chosen, scope.dtypes[0], variant=_TOLD)
    if "lr_lambda" in subject.defaults:
        yield scope.case(subject, {}, scope.dtypes[0], variant=_CALLS)
    if subject.name == "multiplicativelr":
        yield scope.case(subject, {}, scope.dtypes[0], variant=_OWN)
    if subject.name in _LONG and set(_LONG[subject.name]) <= set(subject.defaults):
        for moment in combined["moment"]:
            if scope.suite == "full" or moment == BY_EPOCH:
                yield scope.case(subject, _LONG[subject.name], scope.dtypes[0], moment=moment, variant=_LONG_WAY)


def space(subject: Subject, scope: Scope) -> Space:
    combined, forbidden = factors(subject, scope)
    options = {option.name: combined[option.name] for option in subject.options}
    return Space(options, forbidden, scope.dtypes[:1], moments=tuple(combined["moment"]), shapes=False, steps=(3, 3))


def check(trial: Trial) -> None:
    if trial.case.variant in (_OWN, _CALLS):
        (_own if trial.case.variant == _OWN else _calls)(trial)
        return
    run = trial.run()
    if trial.case.variant == _TOLD and run.jumps:
        _one_more(trial, run)
        return
    long = trial.case.variant == _LONG_WAY
    last = trial.last(_NEAR[-1] if long else min(3 * trial.horizon(), _LONGEST))
    if trial.case.moment == BY_EPOCH:
        _at_any_epoch(trial, run, last, _NEAR if long else range(last))
        return
    if trial.case.moment == _PAST:
        for epoch in range(1, last + 1):
            run.step(epoch)
        beyond(trial, run)
        return
    for epoch in range(last + 1):
        if epoch:
            run.step(epoch)
        trial.follow("step by step", run, epoch, epoch)
        _within(trial, run, epoch)
    told_ahead(trial, run, range(last + 1))
    if trial.subject.name == "cycliclr" and not trial.implementation.target:
        theirs = trial.build(trial.optimizer(), implementation=trial.plain_torch)
        mine = trial.run().scheduler
        for x in range(1, 6):
            wanted = theirs.scale_fn(x)
            trial.checker.near(f"scale_fn({x})", mine.scale_fn(x), wanted,
                               shown=f"math.isclose(scheduler.scale_fn({x}), {wanted!r}, rel_tol=1e-12)")  # fmt: skip


def _calls(trial: Trial) -> None:
    """A user's function, which may take its time, is called for a group and an epoch once."""
    from optbench.trials.schedulers import Run

    seen: list[float] = []

    def factor(epoch: float) -> float:
        seen.append(epoch)
        return 0.9

    optimizer = trial.optimizer()
    run = Run(trial, optimizer, trial.build(optimizer, {"lr_lambda": factor}))
    for epoch in range(2 * _THERE):
        if epoch:
            run.step(epoch)
        most = len(optimizer.param_groups)
        trial.checker.true(f"calls at epoch {epoch}", len(seen) <= most, f"{len(seen)} calls for {most} groups")
        seen.clear()


def _own(trial: Trial) -> None:
    """Whoever writes a schedule as for torch supplies get_lr, and no more."""
    from optbench.trials.base import Unsupported
    from optbench.trials.schedulers import Run

    if trial.implementation.target:
        raise Unsupported("a base for schedules of the user's is asked of our tiers")
    base: Any = trial.implementation.load("LRScheduler", "lr_scheduler")
    factor = trial.full()["lr_lambda"]

    class Own(base):  # type: ignore[misc]
        def get_lr(self) -> list[float]:
            by = factor(self.last_epoch) if self.last_epoch else 1.0
            return [group["lr"] * by for group in self.optimizer.param_groups]

    optimizer = trial.optimizer()
    run = Run(trial, optimizer, Own(optimizer))
    trial.follow(_OWN, run, 0, _THERE)


def _one_more(trial: Trial, run: Run) -> None:
    """Where a rate comes from the one before, step(epoch) is one more step: to that epoch from the one before it."""
    from optbench.trials.schedulers import LRS

    full = trial.full()
    for steps, last in itertools.product(range(3), range(1, _THERE + 3)):
        run = trial.run()
        for epoch in range(1, steps + 1):
            run.step(epoch)
        standing = run.lrs
        run.goto(last)
        expected = [formulas.onwards(trial.subject.name, formulas.of_group(full, i), LRS[i], lr, last - 1, last)
                    for i, lr in enumerate(standing)]  # fmt: skip
        trial.judge(f"step({last}) after {steps} steps", run, last, expected)
        trial.checker.same(f"last_epoch after step({last})", run.scheduler.last_epoch, last)


def _within(trial: Trial, run: Run, epoch: int) -> None:
    """Between the rates that a schedule goes to and fro between, and there to the last bit; at first too."""
    from optbench.trials.checker import rounding
    from optbench.trials.schedulers import LRS

    full, expected = trial.full(), trial.expected(epoch)
    for i, (rate, wanted) in enumerate(zip(run.lrs, expected, strict=True)):
        bounds = formulas.bounds(trial.subject.name, formulas.of_group(full, i), LRS[i])
        if bounds:
            inside = bounds[0] <= rate <= bounds[1]
            nearest = bounds[0] if rate < bounds[0] else bounds[1]
            told = f"got {rate!r}, outside {bounds[0]!r} to {bounds[1]!r}{rounding(rate, nearest)}"
            trial.checker.true(f"lr of group {i} at epoch {epoch} is in its bounds", inside, told,
                               f"{bounds[0]!r} <= optimizer.param_groups[{i}]['lr'] <= {bounds[1]!r}")  # fmt: skip
        if epoch == 0 or (bounds and wanted in bounds):
            trial.checker.same(f"lr of group {i} at an end, epoch {epoch}", rate, wanted,
                               shown=f"optimizer.param_groups[{i}]['lr'] == {wanted!r}")  # fmt: skip


def _at_any_epoch(trial: Trial, run: Run, last: int, among: Sequence[int]) -> None:
    """In no order, and a step from there; and what the scheduler says of any epoch without going there."""
    from optbench.trials.base import Unsupported

    if not run.jumps:
        raise Unsupported("its step takes no epoch")
    epochs = [epoch for epoch in among if epoch <= last]
    random.Random(trial.case.seed).shuffle(epochs)
    epochs = [last, 0, *epochs[:20]]
    fractions = [epoch + 0.375 for epoch in epochs[1:8]] if trial.subject.name in _FRACTIONS else []
    for epoch in (*epochs, *fractions):
        run.goto(epoch)
        trial.judge("step(epoch)", run, epoch)
        _counts(trial, run, epoch)
        if epoch < last:
            run.step(epoch + 1)
            trial.judge("a step after step(epoch)", run, epoch + 1)
            _counts(trial, run, epoch + 1)
    told_ahead(trial, run, epochs)


def _counts(trial: Trial, run: Run, epoch: float) -> None:
    """Whole epochs, and steps: the one that the constructor takes is the first."""
    if not trial.implementation.target:
        trial.checker.same(f"last_epoch at epoch {epoch}", run.scheduler.last_epoch, math.floor(epoch),
                           shown=f"scheduler.last_epoch == {math.floor(epoch)}")  # fmt: skip
        trial.checker.same(f"steps taken at epoch {epoch}", run.scheduler._step_count, run.steps + 1,
                           shown=f"scheduler._step_count == {run.steps + 1}")  # fmt: skip


def told_ahead(trial: Trial, run: Run, epochs: Iterable[int]) -> None:
    """What the scheduler says of epochs without going there, if it does."""
    if trial.subject.name == "reducelronplateau" or not hasattr(run.scheduler, "lr_at"):
        return
    before = run.lrs
    for epoch in epochs:
        trial.judge_told(run.scheduler.lr_at(epoch), epoch, trial.expected(epoch))
        # The list is the caller's, and nobody else's.
        trial.tell(f"scheduler.lr_at({epoch}).clear()", run.scheduler.lr_at(epoch).clear)
        trial.judge_told(run.scheduler.lr_at(epoch), epoch, trial.expected(epoch))
    trial.checker.same("rates after asking for others", run.lrs, before,
                       shown=f"scheduler.lr_at(1)\n[group['lr'] for group in optimizer.param_groups] == {before}"
                       )  # fmt: skip


def beyond(trial: Trial, run: Run) -> None:
    """Past its end a one-cycle schedule stays within its bounds, or says that it is over."""
    full = trial.full()
    for _ in range(3):
        try:
            run.step(0)
        except ValueError:
            trial.checker.true("it says that it is over", True)
            return
        for i, lr in enumerate(run.lrs):
            options = formulas.of_group(full, i)
            low = options["max_lr"] / options["div_factor"] / options["final_div_factor"]
            within = low * (1 - 1e-12) <= lr <= options["max_lr"] * (1 + 1e-12)
            shown = f"{low!r} * (1 - 1e-12) <= optimizer.param_groups[{i}]['lr'] <= {options['max_lr']!r} * (1 + 1e-12)"
            trial.checker.true(f"past its end, lr of group {i} is in its bounds", within, f"got {lr!r}", shown)
