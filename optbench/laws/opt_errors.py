"""opt.errors: what is illegal is refused, by the right type, by name, and at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case, format_value
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trial import Trial

LAW = Law(
    id="opt.errors",
    level="torch",
    statement="every illegal argument raises torch's exception type and names the value, and leaves nothing half-built",
    catches="illegal hyperparameters that are accepted or fail later with another message",
    host=True,
)


_WRONG = ("no parameters", "not a tensor", "not a leaf", "a tensor instead of a list")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for number, illegal in enumerate(subject.illegal):
        text = ",".join(f"{name}={format_value(value)}" for name, value in illegal.options.items())
        yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=f"illegal-{number}:{text}")
    dense = ("dense gradient",) if subject.sparse else ()
    for variant in (*_WRONG, "sparse gradient", *dense):
        yield scope.case(subject, {}, scope.dtypes[0], shapes="pair", variant=variant)


def check(trial: Trial) -> None:
    variant = trial.case.variant
    run = trial.run()
    leaf = run.params[0]
    refused: dict[str, tuple[Any, type[Exception]]] = {
        "no parameters": ([], ValueError),
        "not a tensor": ([1.5], TypeError),
        "not a leaf": ([leaf * 2], ValueError),
        "a tensor instead of a list": (leaf, TypeError),
    }
    if variant == "sparse gradient":
        _sparse(trial)
    elif variant == "dense gradient":
        _dense(trial)
    elif variant in refused:
        params, error = refused[variant]
        _expect(trial, params, {}, error, "")
    else:
        illegal = trial.subject.illegal[int(variant.partition(":")[0].removeprefix("illegal-"))]
        _expect(trial, run.params, dict(illegal.options), _exception(illegal.error), illegal.names)
        _in_a_group(trial, dict(illegal.options))


def _exception(name: str) -> type[Exception]:
    import builtins

    found = getattr(builtins, name)
    assert issubclass(found, Exception)
    return found  # type: ignore[no-any-return]


def _expect(trial: Trial, params: Any, options: dict[str, Any], error: type[Exception], names: str) -> None:
    from optbench.trial_base import Unsupported

    try:
        trial.build(params, options)
    except Unsupported:
        raise
    except Exception as raised:
        trial.checker.true(f"raises {error.__name__}", type(raised) is error, f"{type(raised).__name__}: {raised}")
        trial.checker.true(f"the message names {names!r}", names in str(raised), str(raised))
        return
    trial.checker.true(f"is refused with {error.__name__}", False, "it was accepted")


def _in_a_group(trial: Trial, options: dict[str, Any]) -> None:
    """A refused constructor leaves the parameters as they were: they can go into a good optimizer."""
    run = trial.run()
    befores = [param.detach().clone() for param in run.params]
    for param, before in zip(run.params, befores, strict=True):
        trial.checker.equal("a parameter after the refusal", param, before)
    run.optimizer = trial.build(run.params, {})
    run.step(0)


def _sparse(trial: Trial) -> None:
    """A sparse gradient is taken, or refused with a message that says so; it is never taken for a dense one."""
    import torch

    weight = torch.ones(4, 3, dtype=torch.float32, device=trial.case.device).requires_grad_()
    optimizer = trial.build([weight], {})
    rows = torch.tensor([[0, 2]], device=trial.case.device)
    values = torch.ones(2, 3, device=trial.case.device)
    weight.grad = torch.sparse_coo_tensor(rows, values, (4, 3))
    try:
        trial.advance(optimizer)
    except RuntimeError as error:
        trial.checker.true("the refusal says that the gradient is sparse", "sparse" in str(error).lower(), str(error))
        trial.checker.equal(
            "the parameter after the refusal", weight.detach(), torch.ones(4, 3, device=trial.case.device)
        )
    else:
        untouched = weight.detach()[[1, 3]]
        trial.checker.equal("rows without a gradient", untouched, torch.ones(2, 3, device=trial.case.device))
        trial.checker.true("rows with a gradient moved", bool((weight.detach()[[0, 2]] < 1).all()))


def _dense(trial: Trial) -> None:
    """A dense gradient is refused by an algorithm for sparse ones, with a message that says so."""
    import torch

    weight = torch.ones(4, 3, device=trial.case.device).requires_grad_()
    weight.grad = torch.ones(4, 3, device=trial.case.device)
    try:
        trial.build([weight], {}).step()
    except RuntimeError as error:
        trial.checker.true("the refusal says that the gradient is dense", "dense" in str(error).lower(), str(error))
    else:
        trial.checker.true("a dense gradient is refused", False, "it was accepted")
