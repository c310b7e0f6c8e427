"""An optimizer of the implementation under test at work on a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optbench.failures.scripts.places import Held, Place, of_param
from optbench.trials import nested
from optbench.trials.base import Unsupported
from optbench.trials.oracle import Before
from optbench.trials.problem import Placed, exact

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial


class StateUnknown(Unsupported):
    """Foreign code keeps its state under names that nobody declared."""

    def __init__(self, name: str) -> None:
        super().__init__(f"its state has no {name!r}, and no Adapter says what else it is called")


class Run:
    """An optimizer of the implementation under test, with its parameters, at work on a problem.

    Args:
        trial: the trial it belongs to.
        options: hyperparameters of its only group; None: the case's.
        start: values to start from, float64; None: the problem's.
    """

    def __init__(
        self, trial: Trial, options: Mapping[str, Any] | None = None, start: Sequence[Tensor] | None = None
    ) -> None:
        self.trial = trial
        self.problem = trial.problem
        self.options = dict(trial.case.options if options is None else options)
        self.placed: list[Placed] = [self.problem.place_param(values) for values in start or self.problem.start]
        self.params = [placed.tensor for placed in self.placed]
        self.grads: list[Placed | None] = [None] * len(self.params)
        self.given: list[Tensor | None] = [None] * len(self.params)
        self._at = 0
        trial.runs.append(self)
        self.optimizer = trial.build(self.params, self.options)

    def give(self, k: int) -> None:
        """Put the gradients of step `k` (from 0) in place, None where the case has none."""
        self._at = k
        for i in range(len(self.params)):
            self._put_grad(i, self.problem.grad(i, k))

    def forget(self) -> None:
        """Hold no gradient any more."""
        self.grads, self.given = [None] * len(self.params), [None] * len(self.params)

    def step(self, k: int | None = None) -> None:
        """Take a step; with `k`, put that step's gradients in place before."""
        if k is not None:
            self.give(k)
        self.trial.advance(self.optimizer, self.problem.objective(self.params, self._at, self._put_grad))

    def _put_grad(self, i: int, values: Tensor | None) -> None:
        placed = None if values is None else self.problem.place_grad(values)
        self.grads[i] = placed
        self.given[i] = None if placed is None else placed.tensor.clone()
        self.params[i].grad = None if placed is None else placed.tensor

    def state(self, i: int) -> dict[str, Any]:
        """The state of parameter `i` under the declared names, without entries that are None."""
        kept = self.optimizer.state.get(self.params[i], {})
        alias = self.trial.state_alias
        return {alias.get(name, name): value for name, value in kept.items() if value is not None}

    def held(self) -> dict[str, Any]:
        """A copy of all state and all parameters, by name; state first, so that the first wrong quantity is named."""
        found: dict[str, Any] = {}
        for i in range(len(self.params)):
            for name, entry in self.state(i).items():
                found |= {f"{name}{path} of parameter {i}": leaf for path, leaf in nested.leaves(entry)}
        found |= {f"parameter {i}": param for i, param in enumerate(self.params)}
        values = Held(nested.copied(found))
        if self.trial.tape is not None:
            self.trial.tape.hold(values, self._places())
        return values

    def _places(self) -> dict[str, Place]:
        """Where everything is that is held, by name."""
        assert self.trial.tape is not None
        alias, found = self.trial.state_alias, dict[str, Place]()
        for i, param in enumerate(self.params):
            place = of_param(self.trial.tape, self.optimizer, param)
            for key, entry in self.optimizer.state.get(param, {}).items():
                for path, _ in nested.leaves(entry):
                    name = f"{alias.get(key, key)}{path} of parameter {i}"
                    found[name] = replace(place, kind="state", key=key, path=path)
            found[f"parameter {i}"] = place
        return found

    def before(self, i: int, k: int) -> Before:
        """Parameter `i` as it now stands and its gradient of step `k`, as the oracle's input.

        Raises:
            StateUnknown: of foreign code, which keeps something else or elsewhere.
        """
        state = self.state(i)
        if self.trial.implementation.target and state:
            self._require_known(state)
        names = self.trial.subject.tensor_names(self.options)
        kept = {name: exact(state[name]) for name in names if name in state}
        counter = self.trial.subject.counter
        step = int(state[counter.name]) if counter and counter.name in state else int(bool(kept))
        names = self.trial.subject.number_names(self.options)
        numbers = {name: state[name].detach().cpu().clone() for name in names if name in state}
        return Before(exact(self.params[i]), self.problem.grad(i, k), kept, step, numbers)

    def _require_known(self, state: Mapping[str, Any]) -> None:
        subject = self.trial.subject
        counter = (subject.counter.name,) if subject.counter else ()
        for name in (*subject.state_names(self.options), *subject.number_names(self.options), *counter):
            if name not in state:
                raise StateUnknown(name)

    def put(self, befores: Sequence[Before]) -> None:
        """Overwrite parameters and state with these values, in place."""
        with torch.no_grad():
            for i, before in enumerate(befores):
                self.params[i].copy_(before.param)
                state = self.state(i)
                for name, values in (before.state | before.numbers).items():
                    if name in state:
                        state[name].copy_(values)
        if self.trial.tape is not None:
            self.trial.tape.settled()

    def reload(self) -> None:
        """Go on in a new optimizer that loaded this one's state_dict."""
        saved = self.optimizer.state_dict()
        self.optimizer = self.trial.build(self.params, self.options)
        self.optimizer.load_state_dict(saved)
