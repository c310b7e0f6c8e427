"""sch.groups: every group has its own rate, whenever it joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.subjects._schedule import Each, Power
from optbench.trials import formulas

if TYPE_CHECKING:
    from optbench.trials.schedulers import Run, Trial

LAW = Law(
    id="sch.groups",
    level="state",
    statement="groups keep rates of their own; a group added at any epoch goes on from its rate, and changes no other",
    catches="the first group's rate in all, a list that is one too short, a new group that is passed over",
    kind="scheduler",
    host=True,
)

_LATE = "group joins late"
_RESUMED = "group joins late, resumed"
_ALONE = "group joins late, one was there"
_BETWEEN = "group joins between saving and loading"
_LISTED = "group joins lists"
_CALLERS = "lists that the caller goes on with"
_OWN = "group joins late with bounds of its own"
_LEFT = "what it leaves in the groups"
# What a group that joins has to bring, where the others have one each.
_EACH_ITS_OWN = ("lr_lambda", "max_lr", "swa_lr")
_LRS = (0.3, 0.05, 0.0, 0.7, 0.05, 1e-6, 40.0)
_LATE_LR = 0.02
# Every epoch without progress that is not in a cooldown lowers the rates.
_BOUNDED = {"patience": 0, "factor": 0.5, "cooldown": 1}
_EPOCHS = 9
_OTHERS = "[{{name: group[name] for name in group if name not in {}}} for group in optimizer.param_groups]"
# Bounds that a schedule keeps in the groups, at values of a group's own.
_BOUNDS: dict[str, dict[str, float]] = {
    "swalr": {"swa_lr": 0.11},
    "cycliclr": {"base_momentum": 0.6, "max_momentum": 0.97},
    "onecyclelr": {"max_lr": 0.5, "min_lr": 0.001, "base_momentum": 0.6, "max_momentum": 0.97},
}
_MOMENTA = {"base_momentum": 0.7, "max_momentum": 0.98}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for options in ({}, subject.fullest):
        yield scope.case(subject, options, scope.dtypes[0], variant="many")
    yield scope.case(subject, {}, scope.dtypes[0], variant="one")
    cycled = [_MOMENTA] if "cycle_momentum" in subject.defaults else []
    # Nothing to go by, where the first group stands still.
    still = [{"max_lr": 0.0}] if subject.name == "onecyclelr" else []
    for options in ({}, *cycled, *still):
        yield scope.case(subject, options, scope.dtypes[0], variant=_LATE)
    for variant in (_RESUMED, _ALONE, _BETWEEN):
        yield scope.case(subject, {}, scope.dtypes[0], variant=variant)
    if subject.name in _BOUNDS:
        each = {option.name: next(value for value in option.values if isinstance(value, Each))
                for option in subject.options if option.name in _BOUNDS[subject.name]}  # fmt: skip
        yield scope.case(subject, each, scope.dtypes[0], variant=_OWN)
    if "schedulers" not in subject.defaults:
        for options in ({}, subject.fullest, *cycled):
            yield scope.case(subject, options, scope.dtypes[0], variant=_LEFT)
    for option in subject.options:
        lists = [value for value in option.values if isinstance(value, Each)]
        if option.name in _EACH_ITS_OWN and lists and subject.name != "onecyclelr":
            yield scope.case(subject, {option.name: lists[0]}, scope.dtypes[0], variant=_LISTED)
        given = [value for value in option.values if isinstance(value, (Each, tuple)) and option.name != "schedulers"]
        for value in given[:1]:
            yield scope.case(subject, {option.name: value}, scope.dtypes[0], variant=_CALLERS)
    if subject.name == "reducelronplateau":
        yield scope.case(subject, {**_BOUNDED, "min_lr": Each((0.1, 0.02))}, scope.dtypes[0], variant=_LISTED)
        yield scope.case(subject, {**_BOUNDED, "min_lr": 0.01}, scope.dtypes[0], variant=_LISTED)


def check(trial: Trial) -> None:
    if trial.case.variant in (_LATE, _RESUMED, _ALONE, _OWN, _BETWEEN):
        for joins in range(4):
            _late(trial, joins)
        return
    if trial.case.variant == _LEFT:
        _left(trial)
        return
    if trial.case.variant == _LISTED:
        (_joins_bounds if trial.subject.name == "reducelronplateau" else _joins_lists)(trial)
        return
    if trial.case.variant == _CALLERS:
        _callers_lists(trial)
        return
    lrs = _LRS if trial.case.variant == "many" else _LRS[:1]
    run = trial.run(lrs=lrs)
    last, before = trial.last(_EPOCHS), trial.keep("before", _others(trial, run), _OTHERS.format(_ours(trial)))
    for epoch in range(last + 1):
        if epoch:
            run.step(epoch)
        trial.judge(trial.case.variant, run, epoch, trial.expected(epoch, lrs))
        trial.checker.same(f"{trial.case.variant}, other options at epoch {epoch}", _others(trial, run), before,
                           shown=f"{_OTHERS.format(_ours(trial))} == before")  # fmt: skip


def _others(trial: Trial, run: Run) -> list[dict[str, Any]]:
    """What a schedule has no business with: all options but the rate, and the momentum where that is cycled."""
    ours = _ours(trial)
    return [{name: value for name, value in group.items() if name not in ours} for group in run.optimizer.param_groups]


def _ours(trial: Trial) -> tuple[str, ...]:
    return ("params", "lr", *(("momentum", "betas") if trial.full().get("cycle_momentum") else ()))


def _left(trial: Trial) -> None:
    """Whatever a group has after building it has of torch's scheduler too, and of no other value."""
    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("the entries that torch's schedulers make are asked of our tiers")
    mine, theirs = trial.optimizer(), trial.optimizer()
    # What a schedule before this one has left is overwritten.
    for group in (*mine.param_groups, *theirs.param_groups):
        group.update(_BOUNDS.get(trial.subject.name, {}))
    bases = [getattr(trial.build(optimizer, implementation=who), "base_lrs", ()) for optimizer, who in
             ((theirs, trial.plain_torch), (mine, trial.implementation))]  # fmt: skip
    for i, (wanted, base) in enumerate(zip(*bases, strict=True)):
        trial.checker.near(f"base_lrs of group {i}", base, wanted, shown=_near(f"scheduler.base_lrs[{i}]", wanted))
    for i, (made, entries) in enumerate(zip(mine.param_groups, theirs.param_groups, strict=True)):
        trial.checker.same(f"entries of group {i}", sorted(made), sorted(entries),
                           shown=f"sorted(optimizer.param_groups[{i}]) == {sorted(entries)!r}")  # fmt: skip
        for name, value in entries.items():
            if type(value) is float:
                shown = _near(f"optimizer.param_groups[{i}][{name!r}]", value)
                trial.checker.near(f"{name} of group {i}", made[name], value, shown=shown)


def _near(place: str, value: float) -> str:
    return f"math.isclose({place}, {value!r}, rel_tol=1e-12)"


def _late(trial: Trial, joins: int) -> None:
    from optbench.trials.schedulers import LRS

    lrs = LRS[:1] if trial.case.variant == _ALONE else LRS
    own = _BOUNDS[trial.subject.name] if trial.case.variant == _OWN else {}
    run = trial.run(lrs=lrs)
    for epoch in range(1, joins + 1):
        run.step(epoch)
    if trial.case.variant == _BETWEEN:
        run = _between(trial, run)
    else:
        _join(trial, run, own)
    full = formulas.of_group(trial.full(), 0) | {name: value for name, value in own.items() if name != "min_lr"}
    for epoch in range(joins + 1, trial.last(_EPOCHS) + 1):
        run.step(epoch)
        if trial.case.variant == _RESUMED and epoch == joins + 1:
            run = _resume(trial, run)
        late = _rate(trial, full, joins, epoch, own)
        trial.judge(f"a group joins at {joins}", run, epoch, [*trial.expected(epoch, lrs), late])
        momenta = formulas.momenta(trial.subject.name, trial.full(), len(lrs), epoch) or []
        momenta += formulas.momenta(trial.subject.name, full, 1, epoch) or []
        for i, momentum in enumerate(momenta):
            trial.judge_momentum(f"a group joins at {joins}", run, i, epoch, momentum)


def _joins_lists(trial: Trial) -> None:
    """Where an option is a list, a group that joins has to bring its own value, which is said at once."""
    run, name = trial.run(), next(name for name in _EACH_ITS_OWN if name in trial.subject.defaults)
    run.step(1)
    _join(trial, run)
    trial.checker.raises(f"a group without {name}", "ValueError", lambda: run.step(2), name)
    if trial.implementation.target:
        return
    own: Any = Power(0.5) if name == "lr_lambda" else 0.11
    if name == "swa_lr":
        run.optimizer.param_groups[-1][name] = own
    else:
        getattr(run.scheduler, f"{name}s").append(own)
    full = formulas.of_group(trial.full(), 0) | {name: own}
    for epoch in (2, 3):
        run.step(epoch)
        trial.judge(f"a group with {name}", run, epoch, [*trial.expected(epoch), _rate(trial, full, 1, epoch, {})])


def _joins_bounds(trial: Trial) -> None:
    """The rate of a group that joins has to have a lowest one before any is lowered; else nothing is."""
    from optbench.trials.schedulers import LRS

    run, least = trial.run(), trial.full()["min_lr"]
    known = [formulas.of_group({"least": least}, i)["least"] for i in range(len(LRS))]
    trial.checker.same("min_lrs", [*run.scheduler.min_lrs], known, shown=f"[*scheduler.min_lrs] == {known!r}")
    run.scheduler.step(1.0)
    _join(trial, run)
    if isinstance(least, Each):
        trial.checker.raises("a group without min_lr", "RuntimeError", lambda: run.scheduler.step(1.0), "min_lrs")
        rates = [*LRS, _LATE_LR]
        trial.checker.same("the rates after the refusal", run.lrs, rates,
                           shown=f"[group['lr'] for group in optimizer.param_groups] == {rates!r}")  # fmt: skip
        run.scheduler.min_lrs.append(0.01)
    run.scheduler.step(1.0)
    lows = [*known, 0.01]
    trial.checker.same("min_lrs of all groups", [*run.scheduler.min_lrs], lows,
                       shown=f"[*scheduler.min_lrs] == {lows!r}")  # fmt: skip
    expected = [max(lr / 2, low) for lr, low in zip((*LRS, _LATE_LR), lows, strict=True)]
    trial.judge("lowered", run, 3, expected)
    run.scheduler.step(1.0)
    trial.judge("in the cooldown", run, 4, expected)


def _callers_lists(trial: Trial) -> None:
    """A list is read when it is given: what the caller does to it then is nothing to the schedule."""
    from optbench.trials.schedulers import LRS, Run

    optimizer = trial.optimizer()
    given = trial.keep("given", {
        name: [*(value.values[: len(LRS)] if isinstance(value, Each) else value)]
        for name, value in trial.case.options.items()
        if isinstance(value, (Each, tuple)) and name != "schedulers"
    })  # fmt: skip
    run = Run(trial, optimizer, trial.build(optimizer, {**trial.case.options, **given}))
    trial.tell("for values in given.values():\n    values.clear()", partial(_clear, given))
    trial.follow(trial.case.variant, run, 0, trial.last(_EPOCHS))


def _clear(given: dict[str, Any]) -> None:
    for values in given.values():
        values.clear()


def _join(trial: Trial, run: Run, own: Mapping[str, float] = MappingProxyType({})) -> None:
    params = list(trial.optimizer().param_groups[0]["params"])
    run.optimizer.add_param_group({"params": params, "lr": _LATE_LR, **own})


def _resume(trial: Trial, run: Run) -> Run:
    """The same in an optimizer that had the group from the beginning."""
    saved = run.saved()
    again = trial.run(lrs=[*trial.expected(0), _LATE_LR])
    again.optimizer.load_state_dict(saved[0])
    again.scheduler.load_state_dict(saved[1])
    return again


def _between(trial: Trial, run: Run) -> Run:
    """In an optimizer that gets the group before the scheduler's state is loaded, which knows nothing of it."""
    saved = run.saved()
    again = trial.run()
    again.optimizer.load_state_dict(saved[0])
    _join(trial, again)
    again.scheduler.load_state_dict(saved[1])
    return again


def _rate(trial: Trial, options: Mapping[str, Any], joins: int, epoch: int, own: Mapping[str, float]) -> float:
    """The rate of the group that joined: absolute schedulers begin at its rate, others scale it onwards."""
    full, name = dict(options), trial.subject.name
    if name == "reducelronplateau":
        # As if it had been there: the reductions since it joined.
        before, now = (trial.expected(at, [1.0])[0] for at in (joins, epoch))
        return _LATE_LR * now / before
    if name == "cycliclr":
        full["base_lr"] = _LATE_LR
    if name == "onecyclelr" and own:
        full["div_factor"], full["final_div_factor"] = own["max_lr"] / _LATE_LR, _LATE_LR / own["min_lr"]
        return formulas.rates(name, full, [0.0], epoch)[0]
    if name == "onecyclelr" and not full["max_lr"]:
        return _LATE_LR
    if name == "onecyclelr":
        return formulas.rates(name, full, [0.0], epoch)[0] * _LATE_LR / formulas.rates(name, full, [0.0], 0)[0]
    if trial.subject.absolute:
        return formulas.rates(name, full, [_LATE_LR], epoch)[0]
    return formulas.onwards(name, full, _LATE_LR, _LATE_LR, joins, epoch)
