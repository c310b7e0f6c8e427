"""The oracle of algorithms that see all parameters at once, step by calling their closure, and keep one state for all.

As in `oracle.py`, the judge runs in float64 beside copies of itself whose inputs have moved by half a spacing.
Here each copy is an optimizer of its own. Its gradients move again at each call of the closure, and what it computes
moves, too, because an honest implementation rounds it there: a step is many iterations, each of which begins with what
the one before has left, and how far their rounding leads may be far more than what moved inputs tell. The state may be
nested: it is compared as a flat mapping from paths to numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from optbench.subjects import Subject
from optbench.trials import oracle
from optbench.trials.error import Quantity, quantity, real, real_dtype, scaled
from optbench.trials.problem import Problem, exact, generator

# What rounds: whatever else torch does gives numbers that it was given.
_ROUNDED = {"add", "sub", "rsub", "mul", "div", "reciprocal", "pow", "sqrt", "addcmul", "addcdiv", "dot", "sum"}


@dataclass(frozen=True)
class Outcome:
    """What a step has to give.

    Args:
        params: one quantity a parameter.
        state: by path, "old_dirs.0".
        finite: whether the tested dtype holds it all.
        decided: whether rounding cannot change what the step decides: how often it evaluates, what it keeps. Where it
            can, nothing is said about numbers.
    """

    params: Sequence[Quantity]
    state: Mapping[str, Quantity]
    finite: bool
    decided: bool


def flat(subject: Subject, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Everything in a state that is a number and is read again, in float64 and by path, "old_dirs.0"."""
    found: dict[str, Tensor] = {}
    scratch = {entry.name for entry in subject.state if not entry.reads}
    for name, value in state.items():
        if name in scratch:
            continue
        items = value if isinstance(value, list) else [value]
        for i, item in enumerate(items):
            if item is not None:
                path = f"{name}.{i}" if isinstance(value, list) else name
                # A Python number would be rounded to the default dtype.
                tensor = item.detach() if isinstance(item, Tensor) else torch.tensor(item, dtype=torch.float64)
                found[path] = real(tensor).to("cpu", torch.float64)
    return found


class _Rounding(TorchDispatchMode):
    """While it is on, all that is computed in float64 moves about as far as rounding to another dtype would move it."""

    def __init__(self, dtype: torch.dtype, rng: torch.Generator) -> None:
        super().__init__()
        # The oracle's own numbers are no finer than float64: less than that would round back.
        self._reach, self._rng = torch.finfo(dtype).eps * (4 if dtype is torch.float64 else 1), rng

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """An operation as torch does it, whose result has moved where it is a new number."""
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__.rstrip("_") in _ROUNDED and result.dtype is torch.float64:
            # An exact zero carries no rounding, and stays.
            parts = torch.rand(result.shape, generator=self._rng, dtype=torch.float64)
            result.mul_(parts.sub_(0.5).mul_(self._reach).add_(1.0))
        return result

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Off meanwhile."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()


class Crowd:
    """The judge and moved copies of it, each with parameters of its own, at work on a problem.

    Args:
        subject: the algorithm.
        options: hyperparameters, as a case holds them.
        problem: start values and objective.
        judge: name of the implementation that is run in float64.
        params: values to start from, float64.
        state: the only parameter's state that there is; empty before the first step.
    """

    def __init__(
        self,
        subject: Subject,
        options: Mapping[str, Any],
        problem: Problem,
        judge: str,
        params: Sequence[Tensor],
        state: Mapping[str, Any],
    ) -> None:
        self.subject, self.problem, self.dtype = subject, problem, problem.dtype
        self.rng = generator(problem.case.seed, "crowd")
        self._rounding = _Rounding(real_dtype(self.dtype), self.rng)
        members = [self._member(params, state, torch.float64, moves=c > 0) for c in range(oracle.CHANGES + 1)]
        # The last one is no copy: it runs in the tested dtype itself, to show what honest rounding does.
        members.append(self._member(params, state, real_dtype(self.dtype), moves=False))
        self.params = [own for own, _ in members]
        self.optimizers = [oracle.construct(subject, options, own, judge, self.dtype) for own in self.params]
        for (own, kept), optimizer in zip(members, self.optimizers, strict=True):
            if kept:
                optimizer.state[own[0]].update(kept)

    def step(self, k: int) -> Outcome:
        """Take step `k` (from 0) with all of them."""
        olds = [param.detach().clone() for param in self.params[0]]
        for c, optimizer in enumerate(self.optimizers):
            with self._rounding if 0 < c <= oracle.CHANGES else nullcontext():
                optimizer.step(self._closure(c, k))
        params = [self._quantity([own[i] for own in self.params], old) for i, old in enumerate(olds)]
        states = [
            flat(self.subject, o.state.get(own[0], {})) for o, own in zip(self.optimizers, self.params, strict=True)
        ]
        forms = [{path: value.shape for path, value in state.items()} for state in states]
        whole = [{name: int(value) for name, value in _counts(o)} for o in self.optimizers]
        decided = all(form == forms[0] for form in forms) and all(count == whole[0] for count in whole)
        finite = all(bool(param.isfinite().all()) for param in self.params[-1])
        if not decided:
            return Outcome(params, {}, finite, False)
        state = {path: self._quantity([state[path] for state in states], None) for path in forms[0]}
        return Outcome(params, state, finite, True)

    def _member(
        self, params: Sequence[Tensor], state: Mapping[str, Any], dtype: torch.dtype, moves: bool
    ) -> tuple[list[Tensor], dict[str, Any]]:
        own_dtype = dtype.to_complex() if self.dtype.is_complex else dtype
        own = [self._moved(param) if moves else param.clone() for param in params]
        kept = {name: self._converted(value, dtype, moves) for name, value in state.items()}
        # torch's own path, which judges the reference, takes dense gradients only.
        return [param.to(own_dtype).contiguous().requires_grad_() for param in own], kept

    def _converted(self, value: Any, dtype: torch.dtype, moves: bool) -> Any:
        if isinstance(value, list):
            return [self._converted(item, dtype, moves) for item in value]
        if not isinstance(value, Tensor):
            return copy.deepcopy(value)
        values = value.detach().to("cpu", torch.float64)
        return (oracle.moved(values, real_dtype(self.dtype), self.rng) if moves else values.clone()).to(dtype)

    def _moved(self, values: Tensor) -> Tensor:
        return oracle.moved(values, self.dtype, self.rng)

    def _closure(self, c: int, k: int) -> Any:
        own, moves = self.params[c], 0 < c <= oracle.CHANGES

        def give(i: int, grad: Tensor) -> None:
            own[i].grad = (self._moved(grad) if moves else grad).to(own[i].dtype).contiguous()

        objective = self.problem.objective(own, k, give)

        def closure() -> Tensor:
            for i, param in enumerate(own):
                param.grad = None if self.problem.grad(i, k) is None else param.grad
            with self._rounding.paused() if moves else nullcontext():
                return objective()

        return closure

    def _quantity(self, members: Sequence[Tensor], old: Tensor | None) -> Quantity:
        *wide, narrow = (real(member.detach()).to(torch.float64) for member in members)
        stacked = torch.stack(wide)
        move = (stacked[1:] - stacked[0]).abs().amax(0).nan_to_num(nan=0.0, posinf=0.0)
        judged = quantity(stacked[0], move, None if old is None else real(old), real_dtype(self.dtype))
        (part,) = judged.split([stacked[0].shape], scaled(narrow, judged))
        return part


def _counts(optimizer: Any) -> Iterator[tuple[str, int]]:
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, int):
                yield name, value


def step_from(subject: Subject, run: Any, k: int, judge: str) -> Outcome:
    """What step `k` has to give from where a run (`optbench.trials.running.Run`) now stands."""
    params = [exact(param) for param in run.params]
    state = copy.deepcopy(run.optimizer.state.get(run.params[0], {}))
    return Crowd(subject, run.options, run.problem, judge, params, state).step(k)
