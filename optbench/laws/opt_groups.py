"""opt.groups: G groups behave as G optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench import pairwise
from optbench.case import AsTensor, Case
from optbench.law import Law, Scope, Space
from optbench.subjects import NAMES, Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.groups",
    level="state",
    statement="groups behave as single runs, whenever they join; a parameter listed twice is refused",
    catches="the wrong group's option, work done once per bucket, a new group that is not seen",
    host=True,
    formula=False,
)

_PER_GROUP, _MIXED = "per-group options", "mixed dtypes"
_CHANGED = "option changed between steps"
_VARIANTS = (_PER_GROUP, _MIXED, "group joins late", _CHANGED, "listed twice")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for variant in _VARIANTS:
        # An option like eps is seen where gradients are small, one like RAdam's length after several steps.
        seen = {"stream": "uneven", "steps": subject.steps + 2} if variant == _PER_GROUP else {"steps": 3}
        for dtype in scope.some("float32", "bfloat16") if scope.suite == "full" else scope.some("float32"):
            yield scope.case(subject, {}, dtype, shapes="pair", variant=variant, **seen)
    # A parameter that joins after the change has never seen what was before, nor has a buffer that it makes necessary.
    yield scope.case(subject, {}, scope.some("float32")[0], moment="late", shapes="pair", variant=_CHANGED, steps=3)
    if subject.name == "sgd" and "dampening" in subject.defaults:
        damped = {"dampening": 0.25}
        yield scope.case(subject, damped, scope.some("float32")[0], shapes="pair", variant=_CHANGED, steps=3)
    # Where defaults depend on the dtype, small gradients tell whose was taken.
    yield scope.case(
        subject, {}, scope.some("float32")[0], shapes="pair", stream="scale=0.0001", variant=_MIXED, steps=3
    )


def _option_sets(trial: Trial) -> list[dict[str, object]]:
    """Options that meet pairwise, a set a group; each group differs from its neighbours."""
    # A class of an algorithm of its own may have options that are the whole optimizer's; one that stands for torch's
    # is used with torch's groups.
    known = trial.subject.name in NAMES
    group = trial.subject.defaults if known else trial.run({}).optimizer.param_groups[0]
    # Tensors are opt.tensor_lr's, and capturable is refused where torch has no graphs.
    factors = {
        option.name: [value for value in option.values if not isinstance(value, AsTensor)]
        for option in trial.subject.options
        if option.name != "capturable" and trial.takes(option.name) and option.name in group
    }
    return [{}, *pairwise.rows(factors, trial.subject.forbidden)]


def space(subject: Subject, scope: Scope) -> Space:
    # Each group has options of its own.
    return Space({}, (), scope.some("float32", "bfloat16"), variants=_VARIANTS, steps=(2, 4))


def check(trial: Trial) -> None:
    variant = trial.case.variant
    if variant == "listed twice":
        _listed_twice(trial)
    elif variant == "group joins late":
        _joins_late(trial)
    elif variant == _CHANGED:
        _changed(trial)
    elif variant == _MIXED:
        _mixed_dtypes(trial)
    else:
        _per_group(trial)


def _per_group(trial: Trial) -> None:
    """One optimizer of many groups, and one optimizer a group, from the same start and with the same gradients."""
    sets = _option_sets(trial)
    singles, many = [trial.run(options) for options in sets], [trial.run(options) for options in sets]
    groups = [{"params": run.params, **trial.own(options)} for run, options in zip(many, sets, strict=True)]
    optimizer = trial.build(groups, {})
    for run in many:
        run.optimizer = optimizer
    for k in range(trial.case.steps):
        for run, single in zip(many, singles, strict=True):
            run.give(k)
            single.step(k)
        trial.advance(optimizer)
    for options, single, run in zip(sets, singles, many, strict=True):
        trial.checker.alike(f"group with {options}", run.held(), single.held())


def _mixed_dtypes(trial: Trial) -> None:
    """Several dtypes in one group: each behaves as if alone."""
    from dataclasses import replace

    decay = trial.subject.own(weight_decay=0.25, lr=0.25)
    dtypes = [dtype for dtype in ("float32", "bfloat16", "float64") if dtype in trial.subject.dtypes]
    trials = [trial.beside(replace(trial.case, dtype=dtype)) for dtype in dtypes]
    singles, mixed = [other.run(decay) for other in trials], [other.run(decay) for other in trials]
    optimizer = trial.build([param for run in mixed for param in run.params], decay)
    for k in range(trial.case.steps):
        for run in mixed:
            run.give(k)
        trial.advance(optimizer)
        for single in singles:
            single.step(k)
    for other, single, run in zip(trials, singles, mixed, strict=True):
        for i, (actual, expected) in enumerate(zip(run.params, single.params, strict=True)):
            trial.checker.equal(f"{other.case.dtype} parameter {i} beside other dtypes", actual, expected)


def _joins_late(trial: Trial) -> None:
    """A group joins before every step, the first one before the first; each is as if alone from there on."""
    sets = _option_sets(trial)
    first = trial.run({})
    pairs = [(first, trial.run({}))]
    for k in range(trial.case.steps):
        options = sets[-1 - k % (len(sets) - 1)] if len(sets) > 1 else {}
        late = trial.run(options)
        first.optimizer.add_param_group({"params": late.params, **trial.own(options)})
        late.optimizer = first.optimizer
        pairs.append((late, trial.run(options)))
        for run, single in pairs:
            run.give(k)
            single.step(k)
        trial.advance(first.optimizer)
        for joined, (run, single) in enumerate(pairs):
            what = f"group that joined before step {joined}" if joined else "first group"
            trial.checker.alike(f"step {k + 1}, {what}", run.held(), single.held())


def _changed(trial: Trial) -> None:
    """Options set in the group between two steps, as a scheduler or a user does."""
    run, late = trial.run(), trial.case.moment == "late"
    run.step(0)
    k = 0
    # A scheduler leaves its own entries, which are no options.
    run.optimizer.param_groups[0]["initial_lr"] = 0.75
    for option in trial.subject.options:
        first = option.name == "lr" and late
        if (option.settled and not first) or option.name in ("capturable", "nesterov") or not trial.takes(option.name):
            continue
        # Foreign code may keep it elsewhere, or under another name.
        if trial.implementation.target and option.name not in run.optimizer.param_groups[0]:
            continue
        # What joins at the third step meets another value than the optimizer was built with.
        for value in option.values if late else reversed(option.values):
            if isinstance(value, (float, int, str, tuple)):
                from optbench.registry import materialise

                run.options[option.name] = value
                run.optimizer.param_groups[0].update(materialise({option.name: value}))
                k += 1
                trial.judge_next(run, k, f"after group[{option.name!r}] = {value!r}")


def _listed_twice(trial: Trial) -> None:
    run = trial.run()
    twice = [{"params": run.params}, {"params": run.params[:1]}]
    trial.checker.raises("a parameter in two groups", ValueError, lambda: trial.build(twice, {}), "param")
    again = {"params": run.params[0]}
    trial.checker.raises("a parameter added again", ValueError, lambda: run.optimizer.add_param_group(again), "param")
    trial.checker.same("groups after a refusal", len(run.optimizer.param_groups), 1,
                       shown="len(optimizer.param_groups) == 1")  # fmt: skip
