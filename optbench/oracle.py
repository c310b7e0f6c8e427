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
from optbench.error import CANCELLATION_LIMIT, Quantity, quantity, real, real_dtype, scaled, spacing
from optbench.problem import Problem, generator, wide
from optbench.subjects import Subject

# The oracle's own inputs are moved this many times to see what rounding may do.
CHANGES = 8

REFERENCE = "reference"
TORCH = "torch-forloop"


@dataclass
class Before:
    """One parameter before a step, in float64 on the CPU.

    Args:
        param: values.
        grad: gradient, None where the step skips the parameter.
        state: per-element state entries; empty before the parameter's first step.
        step: number of steps taken.
    """

    param: Tensor
    grad: Tensor | None
    state: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0


@dataclass(frozen=True)
class After:
    """What one parameter and its state have to be after a step: quantities by name, "param" first."""

    quantities: Mapping[str, Quantity]
    step: int


def judge_for(implementation: str) -> str:
    """The implementation that is run in float64 as the oracle of another."""
    return TORCH if implementation == REFERENCE else REFERENCE


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

    Source: the scaled error is explained in `optbench.error`.
    """
    results: list[After | None] = [None] * len(befores)
    for indices in _alike(subject, befores):
        chosen = [befores[i] for i in indices]
        packed = _packed(chosen)
        (wide_out,) = _run(subject, options, [_changed(packed, dtype, seed, indices[0])], judge)
        # The reference run in the tested dtype itself shows what honest rounding does on this very case.
        (narrow_out,) = _run(subject, options, [_as_dtype(packed, dtype)], judge)
        parts = {
            name: _quantities(values, narrow_out[name], packed.param if name == "param" else None, dtype, chosen)
            for name, values in wide_out.items()
        }
        for place, i in enumerate(indices):
            quantities = {name: _allowing_for(judge, part[place], dtype) for name, part in parts.items()}
            results[i] = After(quantities, befores[i].step + 1)
    return results


def _allowing_for(judge: str, quantity: Quantity, dtype: torch.dtype) -> Quantity:
    """torch's for-loop, which judges the reference, itself loses digits of float64 in 1 - beta**t (D-009)."""
    if judge != TORCH or real_dtype(dtype) is not torch.float64:
        return quantity
    return replace(quantity, honest=max(quantity.honest, CANCELLATION_LIMIT / 2))


def _alike(subject: Subject, befores: Sequence[Before]) -> list[list[int]]:
    """Parameters that take this step as one: an elementwise rule does not see where one ends and the next begins."""
    groups: dict[Any, list[int]] = {}
    for i, before in enumerate(befores):
        if before.grad is not None:
            key = (before.step, bool(before.state)) if subject.elementwise else i
            groups.setdefault(key, []).append(i)
    return list(groups.values())


def _packed(befores: Sequence[Before]) -> Before:
    if len(befores) == 1:
        return befores[0]

    def flat(tensors: Iterable[Tensor | None]) -> Tensor:
        return torch.cat([tensor.reshape(-1) for tensor in tensors if tensor is not None])

    first = befores[0]
    state = {name: flat(before.state[name] for before in befores) for name in first.state}
    return Before(flat(before.param for before in befores), flat(before.grad for before in befores), state, first.step)


def _quantities(
    stacked: Tensor, honest: Tensor, old: Tensor | None, dtype: torch.dtype, befores: Sequence[Before]
) -> list[Quantity]:
    """The oracle's value (first row), how far the moved copies (the others) are from it; one quantity a parameter."""
    values = real(stacked.detach()).clone()
    expected = values[0]
    move = (values[1:] - expected).abs().amax(0).nan_to_num(nan=0.0, posinf=0.0)
    whole = quantity(expected, move, None if old is None else real(old), real_dtype(dtype))
    shapes = [real(before.param).shape for before in befores]
    return whole.split(shapes, scaled(real(honest.detach()), whole))


def rounded(after: After, grad: Tensor | None, dtype: torch.dtype) -> Before:
    """The parameter after a step as the input of the next one: rounded to the dtype, in float64."""
    values = {name: _from_real(q.expected, dtype).to(dtype).to(wide(dtype)) for name, q in after.quantities.items()}
    return Before(values.pop("param"), grad, values, after.step)


def _from_real(values: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.view_as_complex(values.contiguous()) if dtype.is_complex else values


def _as_dtype(before: Before, dtype: torch.dtype) -> Before:
    assert before.grad is not None
    state = {name: values.to(dtype) for name, values in before.state.items()}
    return Before(before.param.to(dtype), before.grad.to(dtype), state, before.step)


def _changed(before: Before, dtype: torch.dtype, seed: int, label: int) -> Before:
    """The inputs, and behind them along a new first dimension copies in which each element moved by half a spacing."""
    assert before.grad is not None
    rng = generator(seed, "changes", label, before.step)
    state = {name: _stack(values, dtype, rng) for name, values in before.state.items()}
    return Before(_stack(before.param, dtype, rng), _stack(before.grad, dtype, rng), state, before.step)


def _stack(values: Tensor, dtype: torch.dtype, rng: torch.Generator) -> Tensor:
    return torch.cat([values[None], _moved(values.expand(CHANGES, *values.shape), dtype, rng)])


def _moved(values: Tensor, dtype: torch.dtype, rng: torch.Generator) -> Tensor:
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
    subject: Subject, options: Mapping[str, Any], befores: Sequence[Before], judge: str
) -> list[dict[str, Tensor]]:
    """One step of the judge on tensors as they are; the new values by name."""
    if not befores:
        return []
    params = [before.param.clone().requires_grad_() for before in befores]
    optimizer = construct(subject, options, params, judge)
    names = subject.state_names(options)
    for param, before in zip(params, befores, strict=True):
        param.grad = before.grad
        if before.state:
            optimizer.state[param].update({name: values.clone() for name, values in before.state.items()})
            for entry in subject.state:
                if not entry.per_element:
                    optimizer.state[param][entry.name] = torch.tensor(float(before.step))
    optimizer.step()
    return [
        {"param": param.detach(), **{name: optimizer.state[param][name] for name in names}} for param in params
    ]  # fmt: skip


def construct(subject: Subject, options: Mapping[str, Any], params: Any, judge: str) -> Any:
    """The judge's optimizer on the CPU. Where its counter lives and what carries lr is no part of the formula."""
    taken = {
        name: value.value if isinstance(value, AsTensor) else value
        for name, value in options.items()
        if name != "capturable"
    }
    return registry.build(registry.IMPLEMENTATIONS[judge], subject.class_name, params, taken)


def rollout(
    subject: Subject, problem: Problem, judged: Collection[int], judge: str
) -> Iterator[list[dict[str, Quantity]]]:
    """A run of many steps that is never synchronised, after some of which parameters and state are judged.

    The copies beside the oracle move by half a spacing again after every step, as an honest implementation's rounding
    does; so `move` grows as honest errors grow.

    Args:
        judged: the steps (from 0) to judge.

    Yields:
        For each judged step and each parameter the quantities by name; an empty mapping before its first gradient.
    """
    dtype, options = problem.dtype, problem.case.options
    names = subject.state_names(options)
    seed = problem.case.seed
    moved = [_stack(values, dtype, generator(seed, "rollout", i)) for i, values in enumerate(problem.start)]
    for values in moved:
        values.requires_grad_()
    narrow = [values.to(dtype).requires_grad_() for values in problem.start]
    oracle, honest = (construct(subject, options, params, judge) for params in (moved, narrow))
    for k in range(max(judged) + 1):
        olds = [param.detach()[0].clone() for param in moved]
        for i in range(len(moved)):
            grad = problem.grad(i, k)
            rng = generator(seed, "rollout grad", i, k)
            moved[i].grad = None if grad is None else _stack(grad, dtype, rng)
            narrow[i].grad = None if grad is None else grad.to(dtype)
        oracle.step()
        honest.step()
        if k in judged:
            yield [
            _rolled(oracle, honest, moved[i], narrow[i], olds[i], names, dtype) if moved[i] in oracle.state or not names
            else {}
            for i in range(len(moved))
        ]  # fmt: skip
        _shake(oracle, moved, names, dtype, generator(seed, "shake", k))


def _rolled(
    oracle: Any, honest: Any, moved: Tensor, narrow: Tensor, old: Tensor, names: Sequence[str], dtype: torch.dtype
) -> dict[str, Quantity]:
    wide_out = {"param": moved.detach(), **{name: oracle.state[moved][name] for name in names}}
    narrow_out = {"param": narrow.detach(), **{name: honest.state[narrow][name] for name in names}}
    before = [Before(narrow, None)]
    return {
        name: _quantities(wide_out[name], narrow_out[name], old if name == "param" else None, dtype, before)[0]
        for name in wide_out
    }


def _shake(
    oracle: Any, params: Sequence[Tensor], names: Sequence[str], dtype: torch.dtype, rng: torch.Generator
) -> None:
    with torch.no_grad():
        for param in params:
            state = oracle.state.get(param, {})
            for values in (param, *(state[name] for name in names if name in state)):
                values[1:] = _moved(values[1:], dtype, rng)
