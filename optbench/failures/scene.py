"""A step of one parameter that came out wrong, kept with all that the oracle needs to take it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from optbench.case import AsTensor
from optbench.subjects import Subject
from optbench.trials import oracle
from optbench.trials.error import Quantity, quantity, real, real_dtype, scaled, worst
from optbench.trials.oracle import After, Before
from optbench.trials.problem import exact

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

# What some quantities have to be, by name, "param" for the parameter; nothing is said of the others.
Expectation = Mapping[str, Quantity]


@dataclass(frozen=True)
class Lie:
    """How a tensor lies in memory: its strides, and how much there is of it from its first element on."""

    shape: torch.Size
    stride: tuple[int, ...]
    room: int

    @classmethod
    def of(cls, tensor: Tensor) -> Lie:
        held = tensor.untyped_storage().nbytes() // tensor.element_size()
        return cls(tensor.shape, tensor.stride(), int(held - tensor.storage_offset()))

    @property
    def dense(self) -> bool:
        """Whether there is nothing between its elements."""
        span = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))
        return span == self.shape.numel()


@dataclass(frozen=True)
class Scene:
    """Args:
    subject: the algorithm.
    options: hyperparameters in force.
    before: the parameter before the step, with its gradient.
    expected: what it had to become.
    observed: what it became, by name; float64, complex as pairs.
    counted: what its counter says; None where it has none.
    dtype: the tested storage dtype.
    judge: name of the implementation that is the oracle.
    seed: as the case's.
    lies: how parameter, gradient and state lay in memory.
    others: the options of other groups or runs beside this one.
    former: the same parameter before it was replaced, where it was.
    blind: nobody knows where the implementation keeps its state: nothing but the parameter was observed.
    then: gradients of further steps, where `observed` is what became of the parameter after all of them.
    """

    subject: Subject
    options: Mapping[str, Any]
    before: Before
    expected: After
    observed: Mapping[str, Tensor]
    counted: float | None
    dtype: torch.dtype
    judge: str
    seed: int
    lies: Mapping[str, Lie] = field(default_factory=dict)
    others: tuple[Mapping[str, Any], ...] = ()
    former: Before | None = None
    blind: bool = False
    then: tuple[Tensor, ...] = ()
    classes: ClassVar[tuple[Any, ...]] = ()

    @property
    def truth(self) -> Expectation | None:
        """What the oracle expects at the end."""
        scene, expectation = self, self.expected.quantities
        for grad in self.then:
            following = scene.following(expectation, grad)
            if following is None:
                return None
            scene, expectation = following, following.expected.quantities
        return expectation

    @property
    def full(self) -> dict[str, Any]:
        """All options, tensors as numbers."""
        complete = self.subject.complete(self.options)
        return {name: value.value if isinstance(value, AsTensor) else value for name, value in complete.items()}

    @property
    def old(self) -> dict[str, Tensor]:
        """Parameter and state before the step, zero where there was no state yet; complex as pairs."""
        zeros = torch.zeros_like(real(self.before.param))
        state = {name: self.before.state.get(name) for name in self.observed if name != "param"}
        kept = {name: zeros.new_zeros(self.observed[name].shape) if v is None else real(v) for name, v in state.items()}
        return {"param": real(self.before.param), **kept}

    @property
    def begun(self) -> Before | None:
        """The parameter with the state that it has before its first step: zeros, if the first step agrees to that."""
        if self.before.state or not self.subject.elementwise:
            return self.before
        names = self.subject.state_names(self.options)
        numbers = {name: torch.ones((), dtype=number.dtype) for name, number in self.expected.numbers.items()}
        zeros = {name: torch.zeros_like(self.before.param) for name in names}
        guess = replace(self.before, state=zeros, numbers=numbers)
        outcome = self.outcome(before=guess)
        right = outcome is not None and all(
            worst(scaled(self.expected.quantities[name].expected, judged)) <= judged.cap
            for name, judged in outcome.items()
        )
        return guess if names and right else None

    def outcome(self, options: Mapping[str, Any] | None = None, before: Before | None = None) -> Expectation | None:
        """What the oracle gives under other options or from other inputs; None where it refuses them."""
        after = self.after(options, before)
        return None if after is None else after.quantities

    def after(self, options: Mapping[str, Any] | None = None, before: Before | None = None) -> After | None:
        """As `outcome`, with the counter and the 0-d state."""
        given = before or self.before
        try:
            (after,) = oracle.step(self.subject, {**self.options, **(options or {})}, [given], self.dtype, self.judge,
                                   self.seed)  # fmt: skip
        except Exception:
            # Options beyond what is legal, or a state that the algorithm cannot start from.
            return None
        return after

    def exactly(self, values: Tensor) -> Quantity:
        """A quantity that nothing may move: what was written, or never written."""
        return quantity(values, torch.zeros_like(values), None, real_dtype(self.dtype))

    def following(self, expectation: Expectation, grad: Tensor) -> Scene | None:
        """The next step from what is expected of this one; None where the oracle refuses it."""
        after = After({**self.expected.quantities, **expectation}, self.before.step + 1, self.expected.numbers)
        before = oracle.rounded(after, grad, self.dtype)
        expected = self.after(before=before)
        return None if expected is None else replace(self, before=before, expected=expected)

    def explained_by(self, expectation: Expectation | None) -> bool:
        """Whether what was observed is what is expected here, within the cap."""
        if expectation is None or not (self.blind or expectation.keys() <= self.observed.keys()):
            return False
        pairs = [(self.observed[name], judged) for name, judged in expectation.items() if name in self.observed]
        # Steps between which nothing was judged add their errors up.
        steps = 1 + 2 * len(self.then)
        return bool(pairs) and all(
            value.shape == judged.expected.shape and worst(scaled(value, judged)) <= judged.cap * steps
            for value, judged in pairs
        )


def of_step(trial: Trial, run: Run, i: int, before: Before, after: After) -> Scene:
    """The step that parameter `i` of a run took last, with what the oracle has to say of it."""
    subject, state, placed, counter = trial.subject, run.state(i), run.grads[i], trial.subject.counter
    names = [name for name in subject.tensor_names(run.options) if name in state]
    tensors = {"param": run.params[i], **{name: state[name] for name in names}}
    lies = tensors if placed is None or trial.problem.sparse else {**tensors, "grad": placed.tensor}
    return Scene(
        subject, dict(run.options), before, after,
        observed={name: real(exact(tensor)) for name, tensor in tensors.items()},
        counted=float(state[counter.name]) if counter and counter.name in state else None,
        dtype=trial.problem.dtype, judge=trial.judge, seed=trial.case.seed,
        lies={name: Lie.of(tensor) for name, tensor in lies.items()},
        others=tuple(other.options for other in trial.runs if other.options != run.options),
        former=trial.former[i] if i < len(trial.former) else None,
    )  # fmt: skip


def blind(trial: Trial, run: Run, i: int, k: int) -> Scene:
    """Parameter `i` from its first step on, of which nothing was judged but the parameter after step `k`."""
    problem, seed = trial.problem, trial.case.seed
    grads = [grad for grad in (problem.grad(i, j) for j in range(k + 1)) if grad is not None]
    before = Before(problem.start[i], grads[0])
    (after,) = oracle.step(trial.subject, run.options, [before], problem.dtype, trial.judge, seed)
    assert after is not None
    seen = {"param": real(exact(run.params[i]))}
    return Scene(trial.subject, dict(run.options), before, after, seen, None, problem.dtype, trial.judge, seed,
                 blind=True, then=tuple(grads[1:]))  # fmt: skip
