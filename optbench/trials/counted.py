"""Optimizers for laws that count: a step calls nothing of torch's but what the optimizer itself does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optbench.trials.optimizers import Trial
from optbench.trials.running import Run

# As many as a counted run makes, so that its values go on falling.
_EVALUATIONS = 48
# The first step makes the state, the second what is kept from step to step; RAdam takes another path from its sixth on.
_WARM = 7


@dataclass
class Counted:
    """An optimizer with gradients in place.

    Args:
        step: takes a step on them.
    """

    optimizer: Any
    params: list[Tensor]
    step: Callable[[], object]

    def warm(self) -> Counted:
        """Itself, after the steps that differ from all later ones."""
        for _ in range(_WARM):
            self.step()
        return self


def together(trial: Trial, runs: Sequence[Run], groups: int = 1) -> Counted:
    """One optimizer of the parameters of several runs, in one group or in several.

    Args:
        runs: their parameters and the gradients of their first step are taken; their own optimizers do not matter.
        groups: 1, or as many as there are runs.
    """
    for run in runs:
        run.give(0)
    params = [param for run in runs for param in run.params]
    parts: Any = params if groups == 1 else [{"params": run.params} for run in runs]
    optimizer = trial.build(parts, trial.case.options)
    if not trial.subject.closure:
        return Counted(optimizer, params, optimizer.step)
    closure = _prepared(params)
    return Counted(optimizer, params, lambda: optimizer.step(closure))


def _prepared(params: Sequence[Tensor]) -> Callable[[], Tensor]:
    """A closure that hands out gradients and values made before, each half of the one before it."""
    sets = [[None if param.grad is None else param.grad * 0.5**j for param in params] for j in range(_EVALUATIONS)]
    losses = [torch.tensor(0.5**j) for j in range(_EVALUATIONS)]
    evaluation = 0

    def closure() -> Tensor:
        nonlocal evaluation
        place, evaluation = evaluation % _EVALUATIONS, evaluation + 1
        for param, grad in zip(params, sets[place], strict=True):
            param.grad = grad
        return losses[place]

    return closure
