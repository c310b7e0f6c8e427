"""opt.params: what may be given as parameters, and what may not."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.params",
    level="torch",
    statement="parameters come as any ordered iterable, in groups or with names; all else is refused by torch's errors",
    catches="a generator that is used up, an order or names that get lost, a set, a non-leaf or no parameter accepted",
    host=True,
    formula=False,
)

_STEPS = 2


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for variant in (*_FORMS, *_REFUSED, *_LATER):
        yield scope.case(subject, {}, scope.some("float32")[0], shapes="pair", variant=variant, steps=_STEPS)


def check(trial: Trial) -> None:
    variant = trial.case.variant
    if variant in _FORMS:
        _accepted(trial, variant)
    elif variant in _REFUSED:
        form, error = _REFUSED[variant]
        given = form(trial.run().params)
        trial.checker.raises(variant, error, lambda: trial.build(given, trial.case.options))
    else:
        _LATER[variant](trial)


def _in_groups(params: list[Any]) -> list[dict[str, Any]]:
    """In one group, because not every algorithm takes several; its parameters used up by the first look."""
    return [{"params": iter(params)}]


def _named(params: list[Any]) -> list[tuple[str, Any]]:
    return [(f"layer.{i}", param) for i, param in enumerate(params)]


# What is the same as a list of parameters.
_FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "a list": list,
    "a tuple": tuple,
    "a generator": iter,
    "values of a dict": lambda params: dict(enumerate(params)).values(),
    "a list of groups": _in_groups,
    "a generator of groups": lambda params: iter(_in_groups(params)),
    "a group with a tuple": lambda params: [{"params": tuple(params)}],
    "names": _named,
    "a generator of names": lambda params: iter(_named(params)),
    "a group with names": lambda params: [{"params": _named(params)}],
}


def _accepted(trial: Trial, variant: str) -> None:
    """The same parameters in the same order, the same names, the same steps."""
    plain, run = trial.run(), trial.run()
    run.optimizer = trial.build(_FORMS[variant](run.params), trial.case.options)
    (group,) = run.optimizer.param_groups
    its = f"{trial.name(run.optimizer)}.param_groups[0]"
    _same_objects(trial, f"parameters given as {variant}", group["params"], run.params, its)
    names = [name for name, _ in _named(run.params)] if "names" in variant else None
    saved = run.optimizer.state_dict()["param_groups"][0]
    texts = (its, f"{trial.name(run.optimizer)}.state_dict()['param_groups'][0]")
    for where, found, text in zip(("group", "group of state_dict"), (group, saved), texts, strict=True):
        trial.checker.same(f"names in the {where}", found.get("param_names"), names,
                           shown=f"{text}.get('param_names') == {names!r}")  # fmt: skip
    others = sorted(set(plain.optimizer.param_groups[0]) | ({"param_names"} if names else set()))
    trial.checker.same("entries of the group", sorted(group), others, shown=f"sorted({its}) == {others!r}")
    for k in range(trial.case.steps):
        run.step(k)
        plain.step(k)
    for i, (actual, expected) in enumerate(zip(run.params, plain.params, strict=True)):
        trial.checker.equal(f"parameter {i}, given as {variant}", actual, expected)


def _same_objects(trial: Trial, what: str, actual: list[Any], expected: list[Any], its: str) -> None:
    same = len(actual) == len(expected) and all(a is b for a, b in zip(actual, expected, strict=True))
    trial.checker.true(f"{what} are those, in this order", same, f"got {len(actual)}, want {len(expected)}",
                       f"list(map(id, {its}['params'])) == list(map(id, {trial.name(expected)}))")  # fmt: skip


def _non_leaf(params: list[Any]) -> list[Any]:
    return [param * 2 for param in params]


# What is refused, and by which type.
_REFUSED: dict[str, tuple[Callable[[list[Any]], Any], type[Exception]]] = {
    "an empty list": (lambda params: [], ValueError),
    "an empty generator": (lambda params: iter(()), ValueError),
    "a tensor": (lambda params: params[0], TypeError),
    "no iterable": (lambda params: None, TypeError),
    "a set": (set, TypeError),
    "a frozen set": (frozenset, TypeError),
    "a group with a set": (lambda params: [{"params": set(params)}], TypeError),
    "a group with a frozen set": (lambda params: [{"params": frozenset(params)}], TypeError),
    "a number among them": (lambda params: [*params, 1.5], TypeError),
    "names only": (lambda params: ["weight", "bias"], TypeError),
    "a group without parameters": (lambda params: [{"lr": 0.5}], KeyError),
    "a non-leaf": (_non_leaf, ValueError),
    "some names missing": (lambda params: [*_named(params[:1]), *params[1:]], ValueError),
    "a group with names and one without": (
        lambda params: [{"params": _named(params[:1])}, {"params": params[1:]}],
        ValueError,
    ),
}


def _refused_later(trial: Trial) -> None:
    """add_param_group refuses the same, and leaves the optimizer as it was."""
    run = trial.run()
    groups = list(run.optimizer.param_groups)
    for variant, group, error in _groups(trial, run):
        trial.checker.raises(f"{variant} in add_param_group", error, partial(run.optimizer.add_param_group, group))
        trial.checker.true(f"the groups after {variant}", run.optimizer.param_groups == groups,
                           shown=f"len({trial.name(run.optimizer)}.param_groups) == {len(groups)}")  # fmt: skip
    run.step(0)


def _groups(trial: Trial, run: Run) -> Iterator[tuple[str, Any, type[Exception]]]:
    fresh = trial.run().params
    yield "a list", fresh, TypeError
    yield "a set", {"params": set(fresh)}, TypeError
    yield "a non-leaf", {"params": _non_leaf(fresh)}, ValueError
    yield "a number", {"params": [1.5]}, TypeError
    yield "names beside a group without", {"params": _named(fresh)}, ValueError


def _duplicate(trial: Trial) -> None:
    """One parameter twice in a group is warned of."""
    run = trial.run()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trial.build([*run.params, run.params[0]], trial.case.options)
    texts = [str(item.message) for item in told]
    trial.checker.true("a duplicate in a group is warned of", any("duplicate" in text for text in texts), f"{texts}")


def _retains(trial: Trial) -> None:
    """A non-leaf that keeps its gradient is a parameter as good as any."""
    plain, run = trial.run(), trial.run()
    run.params = [param.view_as(param) for param in run.params]
    for param in run.params:
        param.retain_grad()
    run.optimizer = trial.build(run.params, trial.case.options)
    run.step(0)
    plain.step(0)
    for i, (actual, expected) in enumerate(zip(run.params, plain.params, strict=True)):
        trial.checker.equal(f"parameter {i}, a non-leaf that keeps its gradient", actual, expected)


def _frozen(trial: Trial) -> None:
    """A parameter that needs no gradient is accepted, and stands still."""
    run = trial.run()
    run.params[0].requires_grad_(False)
    run.optimizer = trial.build(run.params, trial.case.options)
    before = run.params[0].clone()
    run.give(0)
    run.params[0].grad = None
    trial.advance(run.optimizer, lambda: 0.0)  # type: ignore[arg-type, return-value]
    trial.checker.equal("a parameter that needs no gradient", run.params[0], before)


def _empty_group(trial: Trial) -> None:
    """A group without a parameter is legal, takes steps, and does not hold up what joins it later."""
    plain, run = trial.run(), trial.run()
    run.optimizer = trial.build([{"params": []}], trial.case.options)
    trial.checker.same("parameters of an empty group", run.optimizer.param_groups[0]["params"], [],
                       shown=f"{trial.name(run.optimizer)}.param_groups[0]['params'] == []")  # fmt: skip
    trial.advance(run.optimizer)
    if trial.subject.closure:
        _evaluated(trial, run.optimizer)
    run.optimizer.param_groups[0]["params"].extend(run.params)
    run.step(0)
    plain.step(0)
    for i, (actual, expected) in enumerate(zip(run.params, plain.params, strict=True)):
        trial.checker.equal(f"parameter {i}, put into an empty group", actual, expected)


def _evaluated(trial: Trial, optimizer: Any) -> None:
    """Without a parameter a step is one call of the closure, with gradients enabled."""
    import torch

    calls: list[bool] = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        return torch.ones(())

    with torch.no_grad():
        optimizer.step(closure)
    trial.checker.same("calls of an empty group's closure, and whether gradients are enabled in them", calls, [True])


def _served(trial: Trial) -> None:
    """The dicts of groups stay the caller's: another optimizer made of them has options of its own."""
    run = trial.run()
    groups = trial.known_as([{"params": list(run.params)}], f"[{{'params': list({trial.name(run.params)})}}]")
    first, second = (trial.build(groups, {**trial.case.options, "lr": lr}) for lr in (0.25, 0.5))
    trial.checker.same("entries of a group that was handed over", sorted(groups[0]), ["params"],
                       shown=f"sorted({trial.name(groups)}[0]) == ['params']")  # fmt: skip
    for which, optimizer, lr in (("first", first, 0.25), ("second", second, 0.5)):
        trial.checker.same(f"lr of the {which} of two made of one group", optimizer.param_groups[0]["lr"], lr,
                           shown=f"{trial.name(optimizer)}.param_groups[0]['lr'] == {lr}")  # fmt: skip
    first.param_groups[0]["lr"] = 0.125
    trial.checker.same("lr of the second after the first one's has changed", second.param_groups[0]["lr"], 0.5,
                       shown=f"{trial.name(second)}.param_groups[0]['lr'] == 0.5")  # fmt: skip


def _flags(trial: Trial) -> None:
    """What selects a path of torch's selects nothing in a tier: state and steps are those without."""
    from optbench.trials.base import Unsupported

    if not trial.implementation.ours:
        raise Unsupported("foreach and fused are what makes this path, or mean what they mean there")
    made = trial.implementation.load(trial.subject.class_name).__init__
    flags = sorted({"foreach", "fused"} & set(inspect.signature(made).parameters))
    if not flags:
        raise Unsupported("no such option: foreach, fused")
    for flag in flags:
        run, plain = trial.run(), trial.run()
        run.optimizer = trial.build(run.params, {**trial.case.options, flag: True})
        trial.checker.alike(f"built with {flag}=True", run.held(), plain.held())
        for k in range(trial.case.steps):
            run.step(k)
            plain.step(k)
        trial.checker.alike(f"stepped with {flag}=True", run.held(), plain.held())


_LATER: dict[str, Callable[[Trial], None]] = {
    "added later": _refused_later,
    "twice in a group": _duplicate,
    "a non-leaf that keeps its gradient": _retains,
    "needs no gradient": _frozen,
    "an empty group": _empty_group,
    "a group that has served before": _served,
    "flags": _flags,
}
