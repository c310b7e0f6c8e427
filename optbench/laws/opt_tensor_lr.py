"""opt.tensor_lr: a rate, or betas, in tensors that the caller goes on writing to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import AsTensor, Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.tensor_lr",
    level="torch",
    statement="a tensor lr is the number in it, at every step; it stays the object that was given, and nobody else's",
    catches="a rate that is read once, a state or another group that moves with it, a kernel compiled for each value",
    host=True,
    formula=False,
)

# The first step, and the second of a rule that tells it from the first, may compile what they need.
_WARM_AFTER = 2
_ROWS = 6
_FACTORS = (1.0, 0.5, 0.75, 0.25)
_RATE = 0.0625
_OWN, _ONE = "own tensors", "one tensor for all groups"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if "lr" not in subject.defaults:
        return
    factors: dict[str, Any] = {option.name: option.values for option in subject.options if option.name != "lr"}
    given = ["lr", *(option.name for option in subject.options if option.tensors)]
    # What rounding does to one element, LBFGS spreads over all, which 16 bits do not bear.
    dtypes = ("float32", "float64") if subject.sees == "all" else ("float32", "bfloat16", "float64")
    factors |= {"given": given, "form": tuple(_FORMS), "dtype": scope.some(*dtypes)}
    # Who documents to take no tensor is known by the options.
    lr = {"lr": AsTensor(_RATE)}
    rows = pairwise.rows(factors, subject.forbidden)
    for row in rows if scope.suite == "full" else rows[:_ROWS]:
        name, form, dtype = row.pop("given"), row.pop("form"), row.pop("dtype")
        yield scope.case(subject, {**row, **lr}, dtype, shapes="pair", variant=f"{name}, {form}", steps=len(_FACTORS))
    for variant, form in zip((_OWN, _ONE), _FORMS, strict=False):
        yield scope.case(subject, {**subject.fullest, **lr}, scope.some("float32")[0], shapes="pair",
                         variant=f"{variant}, {form}")  # fmt: skip


def check(trial: Trial) -> None:
    name, _, form = trial.case.variant.partition(", ")
    if name in (_OWN, _ONE):
        _groups(trial, _FORMS[form], name == _ONE)
    else:
        _followed(trial, name, _FORMS[form])


def _single(value: float) -> Tensor:
    import torch

    return torch.tensor(value, dtype=torch.float32)


def _with_dimension(value: float) -> Tensor:
    import torch

    return torch.tensor([value], dtype=torch.float32)


def _double(value: float) -> Tensor:
    import torch

    return torch.tensor(value, dtype=torch.float64)


_FORMS: dict[str, Callable[[float], Tensor]] = {
    "single": _single,
    "single with a dimension": _with_dimension,
    "double": _double,
}


def _followed(trial: Trial, name: str, make: Callable[[float], Tensor]) -> None:
    """Written to before every step, beside a run whose group is given the number."""
    from optbench.trials import compilations
    from optbench.trials.beside import Beside

    first = _numbers(trial, name, 0)
    tensors = [make(number) for number in first]
    numbers = {"lr": _RATE}
    run = trial.run({**trial.case.options, **numbers, name: _value(name, tensors)})
    plain = trial.run({**trial.case.options, **numbers, name: _value(name, [float(tensor) for tensor in tensors])})
    beside = Beside(trial, run, plain)
    for k in range(trial.case.steps):
        _write(trial, f"{name} is written to before step {k + 1}", run, tensors, _numbers(trial, name, k))
        plain.optimizer.param_groups[0][name] = _value(name, [float(tensor) for tensor in tensors])
        beside.note()
        kept = [tensor.clone() for tensor in tensors]
        with compilations.noticed() as compilers:
            run.step(k)
            plain.step(k)
        beside.compare(f"step {k + 1}, {name} changed")
        if k >= _WARM_AFTER:
            trial.checker.same(f"compilers called in step {k + 1}, in which only {name} is new", compilers, [])
        _is_the_object(trial, f"step {k + 1}", run.optimizer, 0, name, tensors)
        for tensor, before in zip(tensors, kept, strict=True):
            trial.checker.equal(f"step {k + 1}, what the caller wrote to {name}", tensor, before)


def _numbers(trial: Trial, name: str, k: int) -> list[float]:
    """The rate of step `k`, or betas that much nearer to 1."""
    if name == "lr":
        return [_RATE * _FACTORS[k]]
    given: tuple[float, ...] = trial.subject.complete(trial.case.options)[name]
    return [1 - (1 - number) * _FACTORS[k] for number in given]


def _value(name: str, values: list[Any]) -> Any:
    return values[0] if name == "lr" else tuple(values)


def _write(trial: Trial, what: str, run: Run, tensors: list[Tensor], numbers: list[float]) -> None:
    """New numbers in the caller's tensors, which nothing that is kept may share."""
    before = run.held()
    for tensor, number in zip(tensors, numbers, strict=True):
        tensor.fill_(number)
    trial.checker.alike(what, run.held(), before)


def _is_the_object(trial: Trial, what: str, optimizer: Any, group: int, name: str, tensors: list[Tensor]) -> None:
    """What was given is in the group; betas with a dimension stand there without, in the same memory."""
    value = optimizer.param_groups[group][name]
    for at, (mine, given) in enumerate(zip([value] if name == "lr" else value, tensors, strict=True)):
        place = f"{trial.name(optimizer)}.param_groups[{group}]['{name}']" + f"[{at}]" * (name != "lr")
        bare = name != "lr" and given.dim() > 0
        same = mine.dim() == 0 and mine.data_ptr() == given.data_ptr() if bare else mine is given
        # Whether it has a dimension is foreign code's own affair.
        same = same or (bool(trial.implementation.target) and mine is given)
        found = type(mine).__name__
        trial.checker.true(f"{what}, the group holds the tensor that was given as {name}", same, f"not this {found}",
                           f"{place} is {trial.name(given)}" if name == "lr" else
                           f"{place}.dim() == 0 and {place}.data_ptr() == {trial.name(given)}.data_ptr()")  # fmt: skip


def _groups(trial: Trial, make: Callable[[float], Tensor], one: bool) -> None:
    """Two groups and one that joins, each beside a run of its own; the first group's tensor is written to."""
    from optbench.trials.beside import Beside

    options = {name: value for name, value in trial.case.options.items() if name != "lr"}
    runs = [trial.run({**options, "lr": _RATE}) for _ in range(3)]
    besides = [Beside(trial, run, trial.run({**options, "lr": _RATE})) for run in runs]
    first = make(_RATE)
    tensors = [first] * 3 if one else [first, make(_RATE), make(_RATE)]
    groups: list[dict[str, Any]] = [{"params": run.params} for run in runs]
    if not one:
        for group, tensor in zip(groups, tensors, strict=True):
            group |= trial.own({"lr": tensor})
    optimizer = trial.build(groups[:2], {**options, "lr": first})
    optimizer.add_param_group(groups[2])
    for run in runs:
        run.optimizer = optimizer
    for k in range(2):
        for beside in besides:
            beside.note()
            beside.run.give(k)
            beside.plain.step(k)
        trial.advance(optimizer)
        for number, (beside, tensor) in enumerate(zip(besides, tensors, strict=True)):
            beside.compare(f"step {k + 1}, group {number}")
            _is_the_object(trial, f"step {k + 1}, group {number}", optimizer, number, "lr", [tensor])
        copied = trial.copied(optimizer, "deepcopy")
        first.fill_(_RATE / 2)
        for number, (beside, tensor) in enumerate(zip(besides, tensors, strict=True)):
            beside.plain.optimizer.param_groups[0]["lr"] = float(tensor)
            mine = copied.param_groups[number]["lr"]
            trial.checker.true(f"a copy's group {number} has a rate of its own", mine.data_ptr() != tensor.data_ptr(),
                               shown=f"{trial.name(copied)}.param_groups[{number}]['lr'].data_ptr() != "
                               f"{trial.name(tensor)}.data_ptr()")  # fmt: skip
