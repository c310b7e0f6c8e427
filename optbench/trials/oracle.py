"""The float64 oracle: what a step has to give, and how much of that the rounding of its inputs may change.

The oracle is the reference tier run in float64 on the CPU. The reference tier itself is judged against torch's for-loop
in float64, so that it does not judge itself. Every step is judged alone, from inputs that the tested dtype
holds exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from optbench import registry
from optbench.case import AsTensor
from optbench.subjects import Subject
from optbench.trials import sparse
from optbench.trials.error import Quantity, quantity, real, real_dtype, scaled, spacing
from optbench.trials.problem import Problem, dtype_of, generator, wide

# The oracle's own inputs are moved this many times to see what rounding may do.
CHANGES = 8

REFERENCE = "reference"
FOREACH = "foreach"
TORCH = "torch-forloop"


@dataclass
class Before:
    """One parameter before a step, in float64 on the CPU.

    Args:
        param: values.
        grad: gradient, None where the step skips the parameter.
        state: state tensors; empty before the parameter's first step.
        step: number of steps taken.
        numbers: 0-d state that is no counter, as its own dtype holds it.
    """

    param: Tensor
    grad: Tensor | None
    state: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    numbers: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class After:
    """What one parameter and its state have to be after a step.

    Args:
        quantities: by name, "param" first.
        step: number of steps taken.
        numbers: 0-d state that is no counter, as the judge's own dtype for it holds it.
    """

    quantities: Mapping[str, Quantity]
    step: int
    numbers: Mapping[str, Tensor] = field(default_factory=dict)


def judge_for(implementation: str, subject: Subject) -> str:
    """The implementation that is run in float64 as the oracle of another."""
    if implementation != REFERENCE:
        return REFERENCE
    # What torch.optim lacks is judged by our other path without kernels of its own.
    return TORCH if subject.in_torch else FOREACH


def step(
    subject: Subject,
    options: Mapping[str, Any],
    befores: Sequence[Before],
    dtype: torch.dtype,
    judge: str = REFERENCE,
    seed: int = 0,
) -> list[After | None]:
    """One step from given inputs.

    Args:
        subject: the algorithm.
        options: hyperparameters, as a case holds them.
        befores: the parameters.
        dtype: the tested storage dtype, which the inputs are representable in.
        judge: name of the implementation that is run in float64.
        seed: seeds the changes of the inputs.

    Returns:
        For each parameter what it has to become; None where it has no gradient.

    Source: the scaled error is explained in `optbench.trials.error`.
    """
    results: list[After | None] = [None] * len(befores)
    for indices in _alike(subject, befores):
        chosen = [befores[i] for i in indices]
        packed = _packed(chosen)
        if judge == TORCH and subject.sees == "tensor" and not packed.param.numel():
            # torch's Adafactor divides by the number of elements (D-013).
            nothing = quantity(real(packed.param), real(packed.param), None, real_dtype(dtype))
            results[indices[0]] = After({"param": nothing}, packed.step + 1)
            continue
        wide_out, numbers = _changed_outcomes(subject, options, packed, dtype, dtype, judge, seed, indices[0])
        # The reference run in the tested dtype itself shows what honest rounding does on this very case.
        narrow_out = _honest(subject, options, packed, judge, dtype, wide_out)
        for name, coarse in subject.coarse.items():
            if (worked := dtype_of(coarse)) != dtype:
                further, _ = _changed_outcomes(subject, options, packed, dtype, worked, judge, seed, indices[0])
                # What is computed in it are products of matrices, which spread one element's rounding over all.
                moves = (further[name][1:] - further[name][:1]).abs()
                spread = moves.max() if moves.numel() else 0.0
                wide_out[name] = torch.cat([wide_out[name], further[name][1:], wide_out[name][:1] + spread])
        parts = {
            name: _quantities(values, narrow_out[name], packed.param if name == "param" else None, dtype, chosen)
            for name, values in wide_out.items()
        }
        for place, i in enumerate(indices):
            quantities = {name: _allowing_for(subject, judge, part[place], dtype) for name, part in parts.items()}
            results[i] = After(quantities, befores[i].step + 1, numbers)
    return results


def _changed_outcomes(
    subject: Subject,
    options: Mapping[str, Any],
    before: Before,
    dtype: torch.dtype,
    worked: torch.dtype,
    judge: str,
    seed: int,
    label: int,
) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
    """What a step gives, and behind it along a new first dimension what it gives from changed inputs; 0-d state.

    Args:
        worked: the dtype by whose spacing gradient and state are moved; parameters move by that of `dtype`.
    """
    rng = generator(seed, "changes", label, before.step)
    state = {name: _stack(values, worked, rng) for name, values in before.state.items()}
    params, grads = _stack(before.param, dtype, rng), _stack_grad(before.grad, worked, rng)
    if subject.elementwise:
        (out,) = _run(subject, options, [replace(before, param=params, grad=grads, state=state)], judge, dtype)
        return out
    # Whoever sees a whole tensor gets each copy as a parameter of its own.
    copies = [
        replace(before, param=params[i], grad=grads[i], state={name: values[i] for name, values in state.items()})
        for i in range(CHANGES + 1)
    ]
    outs = _run(subject, options, copies, judge, dtype)
    return {name: torch.stack([out[name] for out, _ in outs]) for name in outs[0][0]}, outs[0][1]


def _allowing_for(subject: Subject, judge: str, quantity: Quantity, dtype: torch.dtype) -> Quantity:
    """torch's for-loop, which judges the reference, itself loses digits of float64 in 1 - beta**t (D-009)."""
    if judge != TORCH or real_dtype(dtype) is not torch.float64:
        return quantity
    return replace(quantity, honest=max(quantity.honest, subject.cancels))


def _alike(subject: Subject, befores: Sequence[Before]) -> list[list[int]]:
    """Parameters that take this step as one: an elementwise rule does not see where one ends and the next begins."""
    groups: dict[Any, list[int]] = {}
    for i, before in enumerate(befores):
        if before.grad is not None:
            numbers = tuple(number.item() for number in before.numbers.values())
            key = (before.step, bool(before.state), numbers) if subject.elementwise else i
            groups.setdefault(key, []).append(i)
    return list(groups.values())


def _packed(befores: Sequence[Before]) -> Before:
    if len(befores) == 1:
        return befores[0]

    def flat(tensors: Iterable[Tensor | None]) -> Tensor:
        return torch.cat([tensor.reshape(-1) for tensor in tensors if tensor is not None])

    first = befores[0]
    state = {name: flat(before.state[name] for before in befores) for name in first.state}
    params, grads = (flat(getattr(before, name) for before in befores) for name in ("param", "grad"))
    return replace(first, param=params, grad=grads, state=state)


def _quantities(
    stacked: Tensor, honest: Tensor, old: Tensor | None, dtype: torch.dtype, befores: Sequence[Before]
) -> list[Quantity]:
    """The oracle's value (first row), how far the moved copies (the others) are from it; one quantity a parameter."""
    values = real(stacked.detach()).clone()
    expected = values[0]
    move = (values[1:] - expected).abs().amax(0).nan_to_num(nan=0.0, posinf=0.0)
    whole = quantity(expected, move, None if old is None else real(old), real_dtype(dtype))
    shapes = [real(before.param).shape for before in befores] if len(befores) > 1 else [expected.shape]
    return whole.split(shapes, scaled(real(honest.detach()), whole))


def rounded(after: After, grad: Tensor | None, dtype: torch.dtype) -> Before:
    """The parameter after a step as the input of the next one: rounded to the dtype, in float64."""
    values = {name: _from_real(q.expected, dtype).to(dtype).to(wide(dtype)) for name, q in after.quantities.items()}
    return Before(values.pop("param"), grad, values, after.step, dict(after.numbers))


def _from_real(values: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.view_as_complex(values.contiguous()) if dtype.is_complex else values


def _as_dtype(before: Before, dtype: torch.dtype) -> Before:
    assert before.grad is not None
    state = {name: values.to(dtype) for name, values in before.state.items()}
    return replace(before, param=before.param.to(dtype), grad=before.grad.to(dtype), state=state)


def _stack(values: Tensor, dtype: torch.dtype, rng: torch.Generator) -> Tensor:
    """The values, and behind them along a new first dimension copies whose elements moved by half a spacing."""
    return torch.cat([values[None], moved(values.expand(CHANGES, *values.shape), dtype, rng)])


def _stack_grad(grad: Tensor | None, dtype: torch.dtype, rng: torch.Generator) -> Any:
    """As `_stack`; sparse gradients as a list."""
    assert grad is not None
    if grad.layout is torch.strided:
        return _stack(grad, dtype, rng)
    return [sparse.with_values(grad, values) for values in _stack(grad.values(), dtype, rng)]


def moved(values: Tensor, dtype: torch.dtype, rng: torch.Generator) -> Tensor:
    """The values, each moved by up to half a spacing of `dtype`."""
    flat = real(values)
    reach = spacing(flat, real_dtype(dtype)) / 2
    if real_dtype(dtype) is torch.float64:
        # The oracle's own numbers are no finer: half a spacing would round back to where it came from.
        reach = reach * 4
    # An exact zero carries no rounding, and moving it could make a second moment negative.
    reach[flat == 0] = 0
    # Of different sizes, or two inputs that meet in a difference would often cancel.
    uniform = torch.rand(flat.shape, generator=rng, dtype=torch.float64) - 0.5
    parts = uniform + torch.copysign(torch.full_like(uniform, 0.5), uniform)
    return _from_real(flat + parts * reach, dtype)


def _run(
    subject: Subject, options: Mapping[str, Any], befores: Sequence[Before], judge: str, dtype: torch.dtype
) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """One step of the judge on tensors as they are; the new values by name, and the 0-d state."""
    params = [before.param.clone().requires_grad_() for before in befores]
    optimizer = construct(subject, options, params, judge, dtype)
    for param, before in zip(params, befores, strict=True):
        param.grad = before.grad
        if before.state:
            optimizer.state[param].update(_kept(subject, before))
    optimizer.step()
    return [_values(subject, options, optimizer, param) for param in params]


def _honest(
    subject: Subject, options: Mapping[str, Any], before: Before, judge: str, dtype: torch.dtype,
    wide_out: Mapping[str, Tensor],
) -> Mapping[str, Tensor]:  # fmt: skip
    """What the judge makes of a step in the tested dtype; foreign code may keep state of another, and make nothing."""
    try:
        return _run(subject, options, [_as_dtype(before, dtype)], judge, dtype)[0][0]
    except Exception:
        if judge in registry.IMPLEMENTATIONS:
            raise
        return {name: values[0].to(dtype) for name, values in wide_out.items()}


def _kept(subject: Subject, before: Before) -> dict[str, Any]:
    """The state entries of a parameter that has taken these steps."""
    kept: dict[str, Any] = {name: values.clone() for name, values in (before.state | before.numbers).items()}
    if subject.counter:
        whole = subject.counter.form == "integer"
        kept[subject.counter.name] = before.step if whole else torch.tensor(float(before.step))
    return kept


def _values(
    subject: Subject, options: Mapping[str, Any], optimizer: Any, param: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A parameter and its state by name, and its 0-d state."""
    state = optimizer.state.get(param, {})
    tensors = {name: state[name] for name in subject.tensor_names(options) if name in state}
    return {"param": param.detach(), **tensors}, {name: state[name].clone() for name in subject.number_names(options)}


def construct(subject: Subject, options: Mapping[str, Any], params: Any, judge: str, dtype: torch.dtype) -> Any:
    """The judge's optimizer on the CPU. Where its counter lives and what carries lr is no part of the formula.

    Args:
        dtype: the tested storage dtype, which decides defaults that depend on it.
    """
    taken = {
        name: value.value if isinstance(value, AsTensor) else value
        for name, value in options.items()
        if name != "capturable"
    }
    eps = subject.complete(taken).get("eps")
    if isinstance(eps, tuple) and eps[0] is None:
        taken["eps"] = (torch.finfo(dtype).eps, *eps[1:])
    implementation = registry.find(judge)
    if implementation.target:
        # Whose defaults may be others.
        taken = {**subject.defaults, **taken}
    return registry.build(implementation, subject.class_name, params, taken)


def rollout(
    subject: Subject, problem: Problem, judged: Collection[int], judge: str
) -> Iterator[list[tuple[dict[str, Quantity], dict[str, Tensor]]]]:
    """A run of many steps that is never synchronised, after some of which parameters and state are judged.

    The copies beside the oracle move by half a spacing again after every step, as an honest implementation's rounding
    does; so `move` grows as honest errors grow.

    Args:
        judged: the steps (from 0) to judge.

    Yields:
        For each judged step and each parameter the quantities by name, empty before its first gradient; and its 0-d
        state.
    """
    dtype, seed = problem.dtype, problem.case.seed
    crowd = _Crowd(subject, problem, judge)
    narrow = [values.to(dtype).requires_grad_() for values in problem.start]
    honest = construct(subject, problem.case.options, narrow, judge, dtype)
    for k in range(max(judged) + 1):
        olds = crowd.originals
        for i, param in enumerate(narrow):
            grad = problem.grad(i, k)
            crowd.give(i, grad, generator(seed, "rollout grad", i, k))
            param.grad = None if grad is None else grad.to(dtype)
        crowd.optimizer.step()
        honest.step()
        if k in judged:
            pairs = zip(narrow, olds, strict=True)
            yield [_rolled(crowd, honest, i, param, old) for i, (param, old) in enumerate(pairs)]
        crowd.shake(generator(seed, "shake", k))


class _Crowd:
    """The oracle's parameters and moved copies of each in one optimizer: as rows of one tensor, or as their own."""

    def __init__(self, subject: Subject, problem: Problem, judge: str) -> None:
        self.subject, self.options, self.dtype = subject, problem.case.options, problem.dtype
        # Where a part is computed in a narrower dtype, its rounding is the only one that shows after many steps.
        self._worked = dtype_of(next(iter(subject.coarse.values()), problem.case.dtype))
        seed = problem.case.seed
        stacks = [_stack(values, self.dtype, generator(seed, "rollout", i)) for i, values in enumerate(problem.start)]
        self.params = [[stack] if subject.elementwise else [copy.clone() for copy in stack] for stack in stacks]
        every = [param.requires_grad_() for params in self.params for param in params]
        self.optimizer = construct(subject, self.options, every, judge, self.dtype)

    @property
    def originals(self) -> list[Tensor]:
        """The oracle's own parameters, unmoved, as they now are."""
        firsts = (params[0].detach() for params in self.params)
        return [first[0].clone() if self.subject.elementwise else first.clone() for first in firsts]

    def give(self, i: int, grad: Tensor | None, rng: torch.Generator) -> None:
        """Give parameter `i` its gradient, and its copies moved ones."""
        stack = None if grad is None else _stack_grad(grad, self._worked, rng)
        for place, param in enumerate(self.params[i]):
            param.grad = stack if stack is None or self.subject.elementwise else stack[place]

    def values(self, i: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Values by name of parameter `i` with its copies along a new first dimension, and its 0-d state."""
        found = [_values(self.subject, self.options, self.optimizer, param) for param in self.params[i]]
        if self.subject.elementwise:
            return found[0]
        return {name: torch.stack([tensors[name] for tensors, _ in found]) for name in found[0][0]}, found[0][1]

    def shake(self, rng: torch.Generator) -> None:
        """Move the copies and their state by half a spacing."""
        with torch.no_grad():
            for params in self.params:
                for param in params if self.subject.elementwise else params[1:]:
                    state = self.optimizer.state.get(param, {})
                    names = self.subject.tensor_names(self.options)
                    for values in (param, *(state[name] for name in names if name in state)):
                        copies = values[1:] if self.subject.elementwise else values
                        copies.copy_(moved(copies, self.dtype, rng))


def _rolled(
    crowd: _Crowd, honest: Any, i: int, narrow: Tensor, old: Tensor
) -> tuple[dict[str, Quantity], dict[str, Tensor]]:
    subject, names = crowd.subject, crowd.subject.tensor_names(crowd.options)
    if names and not crowd.optimizer.state.get(crowd.params[i][0]):
        return {}, {}
    wide_out, numbers = crowd.values(i)
    narrow_out, _ = _values(subject, crowd.options, honest, narrow)
    before = [Before(narrow, None)]
    quantities = {
        name: _quantities(values, narrow_out[name], old if name == "param" else None, crowd.dtype, before)[0]
        for name, values in wide_out.items()
    }
    return quantities, numbers
