"""opt.invariant: what holds whatever the formula is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.invariant",
    level="math",
    statement="rest without gradient or rate, ascent mirrors descent, moves follow small rates, NaN hurts one element",
    catches="0/0, a power or a difference that leaves its range, a sign that one term forgot, neighbours that mix",
    host=True,
    formula=False,
)

_STEPS = 3
# So many steps cannot be taken under many options.
_CONSTANT = {"quick": 64, "full": 10_000}
_CONSTANT_ROWS = {"quick": (1,), "full": (0, 1, 2, 3)}
# The step and the parameter (from 0) whose gradient gets the NaN or the infinity.
_HURT_STEP, _HURT = 1, 1
_RATE = 2.0**-12


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for variant in _asked(subject):
        names = {"constant gradient": ("bfloat16", "float32"), "small rates": ("float64",)}
        dtypes = scope.some(*names.get(variant, ("float32", "bfloat16", "complex64")))
        for number, row in enumerate(_rows(subject, scope)):
            case = scope.case(subject, {**row, **_fixed(subject, variant)}, dtypes[number % len(dtypes)],
                              variant=variant, shapes="forms", steps=_STEPS)  # fmt: skip
            if variant != "constant gradient":
                yield case
            elif number in _CONSTANT_ROWS[scope.suite]:
                yield replace(case, shapes="one", steps=_CONSTANT[scope.suite])


def _asked(subject: Subject) -> Iterable[str]:
    yield from ("zero gradient", "constant gradient")
    if "lr" in subject.defaults:
        yield "small rates"
    if subject.rests is not None:
        yield "rate of zero"
    if "maximize" in subject.defaults:
        yield "maximize"
    if subject.sees != "all":
        yield from ("nan", "inf")


def _fixed(subject: Subject, variant: str) -> dict[str, Any]:
    """The options without which there is nothing to ask."""
    once = subject.own(max_iter=1, line_search_fn=None) if subject.closure else {}
    fixed = {
        "zero gradient": subject.still,
        "constant gradient": subject.still,
        "small rates": {**once, "lr": _RATE},
        "rate of zero": subject.rests or {},
        "maximize": {"maximize": True},
    }
    return dict(fixed.get(variant, {}))


def _rows(subject: Subject, scope: Scope) -> Sequence[dict[str, Any]]:
    """Options: as full a state as there is, and every option at its second value; in the full suite pairwise too."""
    rows = [dict(subject.fullest), subject.crowd()]
    if scope.suite == "full":
        factors = {option.name: option.values for option in subject.options if not option.idle}
        rows += pairwise.rows(factors, subject.forbidden, scope.seed)
    return rows


def check(trial: Trial) -> None:
    _CHECKS[trial.case.variant](trial)


def _run(trial: Trial, **options: Any) -> Run:
    """A run under the case's options, those that the variant fixes, and these."""
    fixed = _fixed(trial.subject, trial.case.variant)
    taken = {name: value for name, value in fixed.items() if trial.takes(name)}
    return trial.run({**trial.case.options, **taken, **options})


def _step(run: Run, k: int, changed: Callable[[Tensor], Tensor] = lambda grad: grad) -> None:
    """A step with the gradients of step `k` (from 0), changed."""
    run.give(k)
    for param in run.params:
        if param.grad is not None:
            param.grad = changed(param.grad)
    run.trial.advance(run.optimizer, lambda: _linear(run.params))


def _linear(params: Sequence[Any]) -> Tensor:
    """The sum of g*p over all elements: its gradient is g everywhere."""
    import torch

    from optbench.trials.error import real

    products = [(real(param.detach()) * real(param.grad)).sum() for param in params if param.grad is not None]
    return torch.stack(products).sum().double()


def _zero_gradient(trial: Trial) -> None:
    """At the start, and again when what drives a parameter on has been taken out of the state."""
    from optbench.trials.running import StateUnknown

    run = _run(trial)
    options = trial.subject.complete(run.options)
    drives = {entry.name for entry in trial.subject.state if entry.drives and entry.exists(options)}
    for k in range(trial.case.steps):
        befores = [param.detach().clone() for param in run.params]
        for i in range(len(run.params)):
            if k and trial.implementation.target and (unknown := drives - set(run.state(i))):
                raise StateUnknown(min(unknown))
            for name, value in run.state(i).items():
                if name in drives:
                    value.zero_()
        _step(run, k, lambda grad: grad * 0)
        for i, (param, before) in enumerate(zip(run.params, befores, strict=True)):
            trial.checker.equal(f"parameter {i} after {k} steps, without a gradient", param, before)
        _step(run, k)


def _constant_gradient(trial: Trial) -> None:
    """All stays finite, up to where the squares of parameters that grow with every step leave what the dtype holds."""
    import torch

    run, far = _run(trial), torch.finfo(trial.dtype).max ** 0.25
    for k in range(trial.case.steps):
        _step(run, 0)
        sizes = [float(param.detach().abs().amax()) for param in run.params if param.numel()]
        ends = k == trial.case.steps - 1 or any(far < size < torch.inf for size in sizes)
        if ends or k % _CONSTANT["quick"] == _CONSTANT["quick"] - 1:
            for i, param in enumerate(run.params):
                wrong = int((~param.detach().isfinite()).sum())
                trial.checker.true(f"parameter {i} is finite after {k + 1} steps with the same gradient", not wrong,
                                   f"{wrong} of {param.numel()} elements are not")  # fmt: skip
        if ends:
            return


def _maximize(trial: Trial) -> None:
    up, down = _run(trial), _run(trial, maximize=False)
    for k in range(trial.case.steps):
        _step(up, k)
        _step(down, k, lambda grad: -grad)
        trial.checker.alike(f"step {k + 1}, ascent on g beside descent on -g", up.held(), down.held())


def _no_rate(trial: Trial) -> None:
    run = _run(trial)
    befores = [param.detach().clone() for param in run.params]
    for k in range(trial.case.steps):
        _step(run, k)
    for i, (param, before) in enumerate(zip(run.params, befores, strict=True)):
        trial.checker.equal(f"parameter {i} after {trial.case.steps} steps with a rate of zero", param, before)


def _small_rates(trial: Trial) -> None:
    """Half the rate gives half the first move, as far as the parameters' spacing shows it."""
    from optbench.trials.error import spacing
    from optbench.trials.problem import exact

    moves = []
    for rate in (_RATE, _RATE / 2):
        run = _run(trial, lr=rate)
        _step(run, 0)
        moves.append([exact(param) - start for param, start in zip(run.params, trial.problem.start, strict=True)])
    for i, (whole, half) in enumerate(zip(*moves, strict=True)):
        reach = 8 * spacing(trial.problem.start[i], trial.dtype)
        wrong = int(((whole - 2 * half).abs() > reach).sum())
        trial.checker.true(f"parameter {i} moves twice as far at twice the rate", not wrong,
                           f"{wrong} of {whole.numel()} elements do not")  # fmt: skip


def _hurt(trial: Trial) -> None:
    """One element of one gradient is no number: nothing else is different, and there it shows."""
    from optbench.trials.likeness import outcome

    clean, run = _run(trial), _run(trial)
    elements = int(run.params[_HURT].numel())
    place = trial.case.seed * 7 % elements
    for k in range(trial.case.steps):
        _step(clean, k)
        run.give(k)
        if k == _HURT_STEP:
            _spoil(run.params[_HURT].grad, place, float(trial.case.variant))
        trial.advance(run.optimizer)
        expected, shown = outcome(clean), False
        for name, value in outcome(run).items():
            mine = name.endswith(f"parameter {_HURT}")
            if mine and not trial.subject.elementwise:
                continue
            if mine and value.numel() >= elements:
                # Of complex numbers both parts.
                spoiled = value.reshape(elements, -1)[place]
                shown |= not bool(spoiled.isfinite().all())
                spoiled.copy_(expected[name].reshape(elements, -1)[place])
            trial.checker.equal(f"step {k + 1}, {name}, but for element {place} of parameter {_HURT}, "
                                f"whose gradient was {trial.case.variant}", value, expected[name])  # fmt: skip
        # The sign of an infinity is a number like any other.
        if k == _HURT_STEP and trial.subject.elementwise and trial.case.variant == "nan":
            trial.checker.true(f"step {k + 1}, a gradient's nan shows in its element", shown)


def _spoil(grad: Any, place: int, value: float) -> None:
    import torch

    flat = (grad._values() if grad.layout is not torch.strided else grad).view(-1)
    flat[place % len(flat)] = complex(value, value) if flat.is_complex() else value


_CHECKS: dict[str, Callable[[Trial], None]] = {
    "zero gradient": _zero_gradient,
    "constant gradient": _constant_gradient,
    "small rates": _small_rates,
    "rate of zero": _no_rate,
    "maximize": _maximize,
    "nan": _hurt,
    "inf": _hurt,
}
