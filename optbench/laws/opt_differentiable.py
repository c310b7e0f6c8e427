"""opt.differentiable: autograd's derivative of steps is the derivative of what the steps compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optbench import pairwise
from optbench.case import AsTensor, Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.differentiable",
    level="torch",
    statement="with differentiable=True steps are the plain ones, and their derivative by whatever they are made of is "
    "the formula's",
    catches="state that is detached from its past, or changed after autograd has saved it, a tensor lr that is refused",
    formula=False,
)

# At the sixth step RAdam's variance is tractable.
_STEPS = 6
# A central difference in float64 is right to some 1e-10 of the values; what is wrong is wrong in the first digits.
_APART = 2.0**-18
_RELATIVE = 1e-5
# Steps themselves differ by rounding, which a root of nearly nothing may enlarge.
_ROUNDED = 1e-10
_BY_COUNT = "derivative by the count of steps"
# torch documents, or reads, a tensor there.
_TENSOR_DECAY = ("sgd", "adam", "adamw")
_BETAS = ("beta1", "beta2")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if not subject.differentiable or "float64" not in scope.dtypes:
        return
    options = (option for option in subject.options if option.name not in ("lr", "capturable"))
    factors = {
        option.name: tuple(value for value in option.values if not isinstance(value, AsTensor)) for option in options
    }
    full = scope.suite == "full"
    rows = pairwise.rows(factors, subject.forbidden, scope.seed if full else 0)[: None if full else 2]
    betas = any(option.name == "betas" and option.tensors for option in subject.options)
    numbers = ("lr", *("weight_decay",) * (subject.name in _TENSOR_DECAY), *_BETAS * betas)
    for what in ("gradients", "start", *numbers):
        for row in (dict(subject.fullest), *rows):
            if what != "weight_decay" or not row.get("decoupled_weight_decay"):
                yield scope.case(subject, row, "float64", shapes="one", variant=f"derivative by {what}", steps=_STEPS)
    if subject.counter:
        yield scope.case(subject, {}, "float64", shapes="one", variant=_BY_COUNT)


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.base import Unsupported

    if not trial.takes("differentiable"):
        raise Unsupported("no such option: differentiable")
    if trial.case.variant == _BY_COUNT:
        _by_count(trial)
        return
    what = trial.case.variant.removeprefix("derivative by ")
    # What is an option itself; of gradients and start, how far they are moved in some direction.
    at = {"lr": 0.125, "weight_decay": 0.25, "beta1": 0.75, "beta2": 0.875}.get(what, 0.0)
    number = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    trial.given_as(number, f"torch.tensor({at}, dtype=torch.float64, requires_grad=True)")
    with _wide_numbers():
        end = _end(trial, what, number)
        outcome = _weighed(trial, end)
        (derivative,) = torch.autograd.grad(outcome, number, allow_unused=True)
        with torch.no_grad():
            plain = _weighed(trial, _end(trial, what, number, differentiable=False))
            slope, finer = (_slope(trial, what, number, apart) for apart in (_APART, _APART / 2))
    trial.checker.near("what the parameters come to", outcome.item(), plain.item(), _ROUNDED)
    # Of a difference's own error, which falls by four as it is halved; where it does not, as at a gradient whose sign
    # changes in between, more is not known than the two agree on.
    noise = 2.0**-50 * float((end.detach() * _drawn(trial, "weights", 0)).abs().sum()) / _APART
    want, unsure = (4 * finer - slope) / 3, abs(finer - slope) + noise
    trial.checker.near(
        f"derivative by {what} after {trial.case.steps} steps",
        0.0 if derivative is None else derivative.item(),
        want,
        relative := _RELATIVE + (unsure / abs(want) if want else 0.0),
        shown=_shown(trial, end, number, want, relative),
    )


def _slope(trial: Trial, what: str, number: Tensor, apart: float) -> float:
    above, below = (_weighed(trial, _end(trial, what, number + far)) for far in (apart, -apart))
    return (above - below).item() / (2 * apart)


def _shown(trial: Trial, end: Tensor, number: Tensor, want: float, relative: float) -> str:
    """The fact of a script, where the number itself is an option there."""
    if not trial.name(number):
        return ""
    weighed = f"({trial.name(end)} * {_text(_drawn(trial, 'weights', 0))}).sum()"
    got = f"torch.autograd.grad({weighed}, {trial.name(number)}, materialize_grads=True)[0].item()"
    return f"abs({got} - ({want!r})) <= {relative * abs(want)!r}"


def _by_count(trial: Trial) -> None:
    """There is none, and who asks for it is told."""
    from optbench.trials.base import Unsupported

    assert trial.subject.counter
    counter = trial.subject.counter.name
    counter = next((own for own, declared in trial.state_alias.items() if declared == counter), counter)
    param = trial.problem.start[0].clone().requires_grad_() * 1
    optimizer = trial.build([param], {**trial.case.options, "differentiable": True})
    param.grad = trial.problem.grad(0, 0)
    trial.advance(optimizer)
    if counter not in optimizer.state[param]:
        raise Unsupported("nobody knows where it counts its steps")
    optimizer.state[param][counter].requires_grad_()
    trial.checker.raises(_BY_COUNT, RuntimeError, lambda: trial.advance(optimizer), "grad")


@contextmanager
def _wide_numbers() -> Iterator[None]:
    """0-d state, as ASGD's rate, has the default dtype: in float32 it would have no differences."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _end(trial: Trial, what: str, number: Tensor, differentiable: bool = True) -> Tensor:
    """The parameter after the case's steps, which depends on the number."""
    import torch

    start, options = trial.problem.start[0], dict(trial.case.options)
    if what in _BETAS:
        betas = list(trial.subject.complete(options)["betas"])
        betas[_BETAS.index(what)] = number
        options["betas"] = tuple(map(torch.as_tensor if differentiable else float, betas))
    elif what in trial.subject.defaults:
        options[what] = number if differentiable else float(number)
    if what == "start":
        start = _moved(trial, start, number, 0)
    # A parameter that a network computed: a leaf cannot be written where autograd looks on.
    param = start.clone().requires_grad_() * 1
    if trial.name(start):
        trial.given_as(param, f"{trial.name(start)} * 1")
    optimizer = trial.build([param], {**options, **({"differentiable": True} if differentiable else {})})
    for k in range(trial.case.steps):
        grad = trial.problem.grad(0, k)
        assert grad is not None
        given = _moved(trial, grad, number, k) if what == "gradients" else grad.clone()
        param.grad = given
        trial.advance(optimizer)
        trial.checker.true(f"step {k + 1} leaves the gradient alone", given._version == 0 and param.grad is given)
    return param


def _moved(trial: Trial, values: Tensor, number: Tensor, k: int) -> Tensor:
    """The values, moved by so much in a direction."""
    direction = _drawn(trial, "direction", k)
    made = values + number * direction
    if trial.name(number):
        trial.given_as(made, f"{_text(values)} + {trial.name(number)} * {_text(direction)}")
    return made


def _text(values: Tensor) -> str:
    return f"torch.tensor({values.tolist()}, dtype=torch.float64)"


def _weighed(trial: Trial, param: Tensor) -> Tensor:
    return (param * _drawn(trial, "weights", 0)).sum()


def _drawn(trial: Trial, *labels: object) -> Tensor:
    import torch

    from optbench.trials.problem import generator

    rng = generator(trial.case.seed, *labels)
    return torch.randn(trial.problem.shapes[0], generator=rng, dtype=torch.float64)
