"""opt.pure: what the caller owns stays the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.pure",
    level="math",
    statement="a step leaves gradients, tensor options and every entry of the groups bitwise as they were",
    catches="weight decay or a sign written into the caller's .grad, a tensor lr updated in place, an aliased state",
    host=True,
    formula=False,
)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for options in alone(subject):
        yield scope.case(subject, options, scope.dtypes[0], steps=2)
    factors = {option.name: option.values for option in subject.options}
    factors |= {"dtype": scope.some("float32", "bfloat16", "complex64"), "layout": ("contiguous", "grad_unlike")}
    for row in pairwise.rows(factors, subject.forbidden)[: None if scope.suite == "full" else 6]:
        dtype, layout = row.pop("dtype"), row.pop("layout")
        yield scope.case(subject, row, dtype, layout=layout, steps=2)


def alone(subject: Subject) -> Iterable[dict[str, object]]:
    """Each option at each value beside defaults, with what it needs: what a second option would hide."""
    for option in subject.options:
        for value in option.values[1:]:
            yield {**option.needs, option.name: value}


def space(subject: Subject, scope: Scope) -> Space:
    options = {option.name: option.values for option in subject.options}
    dtypes, layouts = scope.some("float32", "bfloat16", "complex64"), ("contiguous", "grad_unlike", "strided")
    return Space(options, subject.forbidden, dtypes, layouts, steps=(1, 3))


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.sparse import share_memory

    run = trial.run()
    checker = trial.checker
    held = [{name: group[name] for name in _owned(trial, group)} for group in run.optimizer.param_groups]
    copies = [{name: _copy(value) for name, value in group.items()} for group in held]
    for k in range(trial.case.steps):
        run.give(k)
        versions = [None if placed is None else placed.tensor._version for placed in run.grads]
        run.step()
        for i, (placed, value) in enumerate(zip(run.grads, run.given, strict=True)):
            grad = None if placed is None else placed.tensor
            checker.true(f"step {k + 1}, parameter {i} has the gradient it was given", run.params[i].grad is grad)
            if grad is not None and value is not None:
                checker.equal(f"step {k + 1}, gradient of parameter {i}", grad, value)
                # A closure writes its own.
                written = not trial.subject.closure and grad._version != versions[i]
                checker.true(f"step {k + 1}, gradient of parameter {i} is not written and put back", not written)
                shared = [name for name, entry in run.state(i).items() if share_memory(entry, grad)]
                checker.true(
                    f"step {k + 1}, state of parameter {i} is not its gradient",
                    not shared,
                    f"{shared} share its memory",
                )
    for group, before, copy in zip(run.optimizer.param_groups, held, copies, strict=True):
        checker.same("entries of the group", sorted(_owned(trial, group)), sorted(before))
        for name, value in before.items():
            checker.true(f"group[{name!r}] is the same object", group[name] is value)
            if isinstance(value, torch.Tensor):
                held_before = copy[name]
                assert isinstance(held_before, torch.Tensor)
                checker.equal(f"group[{name!r}]", value, held_before)
            else:
                checker.same(f"group[{name!r}]", value, copy[name])


def _owned(trial: Trial, group: dict[str, Any]) -> list[str]:
    """The caller's entries of a group, but its parameters; what foreign code adds for itself is its own."""
    ours = not trial.implementation.target
    return [name for name in group if name != "params" and (ours or name in trial.subject.defaults)]


def _copy(value: object) -> object:
    import torch

    return value.clone() if isinstance(value, torch.Tensor) else value
