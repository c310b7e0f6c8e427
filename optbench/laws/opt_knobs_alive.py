"""opt.knobs_alive: nothing that can be set is without effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import NAMES, Option, StateEntry, Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.knobs_alive",
    level="math",
    statement="changing any option, at the start or between steps, or any state tensor, changes a later update",
    catches="an option that is accepted and ignored, alone or beside another; state that is kept and never read",
    host=True,
    formula=False,
)

# So many steps are taken before a knob is turned, where that is not at the start.
_TURNED = 3


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for option in subject.options:
        if option.idle or len(option.values) < 2:
            continue
        for company in _companies(subject, option, scope):
            yield _case(subject, scope, company, f"option={option.name}")
    full = subject.complete(subject.fullest)
    for entry in subject.state:
        if entry.exists(full) and not entry.idle:
            yield _case(subject, scope, subject.fullest, f"state={entry.name}")


def _case(subject: Subject, scope: Scope, options: Mapping[str, Any], variant: str) -> Case:
    return scope.case(subject, options, scope.some("float32")[0], variant=variant, **_ground(subject))


def _ground(subject: Subject) -> dict[str, Any]:
    """What every knob is tried on: enough elements, steps and ups and downs for any of them to matter."""
    # With a closure few steps reach the optimum, and each is many.
    shapes, steps = ("one", subject.steps) if subject.closure else ("forms", subject.steps + 2)
    return {"shapes": shapes, "stream": "uneven", "steps": steps}


def _companies(subject: Subject, option: Option, scope: Scope) -> Iterable[dict[str, Any]]:
    """What an option is tried beside: defaults, every other option at its second value; in full, pairwise."""
    # Of what nobody declared nobody knows which options silence one another.
    rows = [{}, subject.crowd(option.name)] if subject.name in NAMES else [{}]
    if scope.suite == "full" and subject.name in NAMES:
        others = {other.name: other.values for other in subject.options if other is not option}
        rows += pairwise.rows(others, subject.forbidden, scope.seed)
    for row in rows:
        company = {**row, **option.needs}
        if all(subject.legal({**company, option.name: value}) for value in option.values[:2]):
            yield company


def check(trial: Trial) -> None:
    from optbench.registry import materialise
    from optbench.trials.base import Unsupported

    if any(getattr(trial.case, name) != value for name, value in _ground(trial.subject).items()):
        raise Unsupported("on fewer elements or steps than the law's own a knob may be idle by chance")
    kind, _, name = trial.case.variant.partition("=")
    if kind == "state":
        _state(trial, name)
        return
    option = next(option for option in trial.subject.options if option.name == name)
    first, second = option.values[:2]
    options = {**trial.case.options, **option.needs}
    plain, turned = (trial.run({**options, name: value}) for value in (first, second))
    _alive(plain, turned, 0, f"{name} = {second!r} instead of {first!r} changes no update")
    if not option.settled and name in plain.optimizer.param_groups[0]:
        begin = 1 if trial.subject.closure else _TURNED
        plain, turned = _pair(trial, {**options, name: first}, begin)
        turned.optimizer.param_groups[0].update(materialise({name: second}))
        _alive(plain, turned, begin, f"{name} = {second!r} instead of {first!r} after step {begin} changes no update")


def _pair(trial: Trial, options: Mapping[str, Any], steps: int) -> tuple[Run, Run]:
    """Two runs of the same so many steps."""
    runs = trial.run(options), trial.run(options)
    for k in range(steps):
        for run in runs:
            _step(run, k)
    return runs


def _state(trial: Trial, name: str) -> None:
    from optbench.trials.base import Unsupported

    begin = 2 if trial.subject.closure else _TURNED
    plain, turned = _pair(trial, trial.case.options, begin)
    found = [i for i in range(len(turned.params)) if name in turned.state(i)]
    if not found and trial.implementation.target:
        raise Unsupported(f"its state has no {name}")
    trial.checker.true(f"the state has {name}", bool(found))
    keys = {declared: own for own, declared in trial.state_alias.items()}
    key, back = keys.get(name, name), _entry(trial.subject, name).counts
    for i in found:
        state = turned.optimizer.state[turned.params[i]]
        state[key] = _perturbed(state[key], back)
    _alive(plain, turned, begin, f"another {name} in the state after step {begin} changes no update")


def _entry(subject: Subject, name: str) -> StateEntry:
    return next(entry for entry in subject.state if entry.name == name)


def _perturbed(value: Any, back: bool) -> Any:
    """Half as much again, in a tensor in place and moved on by one element; a count goes back to zero."""
    import torch

    if isinstance(value, list):
        return [_perturbed(item, back) for item in value]
    if isinstance(value, torch.Tensor):
        return value.zero_() if back else value.copy_(value.flatten().roll(1).view(value.shape) * 1.5)
    return 0 if isinstance(value, int) else value * 1.5


def _step(run: Run, k: int) -> None:
    # One objective for all steps, where a step sees its curvature: others would throw the parameters far away.
    run.step(0 if run.trial.subject.closure else k)


def _alive(plain: Run, turned: Run, begin: int, otherwise: str) -> None:
    """Whether the runs come to different results after any of the steps that are left."""
    from optbench.trials.likeness import differ

    trial, seen = plain.trial, False
    for k in range(begin, trial.case.steps):
        for run in (plain, turned):
            _step(run, k)
        seen |= differ(_results(plain), _results(turned))
    pairs = zip(_places(plain), _places(turned), strict=False)
    shown = " or ".join(f"not torch.equal({one}, {other})" for one, other in pairs)
    trial.checker.true(f"{otherwise} in {trial.case.steps} steps", seen, shown=shown)


def _places(run: Run) -> list[str]:
    """What a script calls the results; "" where that is not known."""
    keys = {declared: own for own, declared in run.trial.state_alias.items()}
    optimizer, places = run.trial.name(run.optimizer), list[str]()
    for param in map(run.trial.name, run.params):
        entries = (f"{optimizer}.state[{param}][{keys.get(name, name)!r}]" for name in run.trial.subject.results
                   if name != "param")  # fmt: skip
        places += [param, *entries]
    return places


def _results(run: Run) -> dict[str, Any]:
    """What the run is for: parameters, and entries that the user reads."""
    found = {}
    for i, param in enumerate(run.params):
        for name in run.trial.subject.results:
            found[f"{name} {i}"] = param if name == "param" else run.state(i)[name]
    return found
