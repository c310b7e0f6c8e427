"""Two runs of one implementation that have to agree, to the last bit or as far as the rounding of their inputs reaches.

No formula is needed: how far rounding reaches is told by the implementation itself, run on neighbouring inputs, with
parameters and state moved to neighbouring numbers after every step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from optbench.trials import nested
from optbench.trials.checker import Checker
from optbench.trials.error import quantity, real
from optbench.trials.optimizers import Trial
from optbench.trials.oracle import CHANGES
from optbench.trials.problem import Problem, dtype_of, generator
from optbench.trials.running import Run

# What a run comes to, by the name of each quantity.
Outcome = Mapping[str, Tensor]


def outcome(run: Run) -> dict[str, Tensor]:
    """State and parameters of a run as tensors, complex values as pairs of real ones."""
    # Foreign code may keep what is no number.
    held = ((name, value) for name, value in run.held().items() if isinstance(value, (Tensor, int, float)))
    return {name: real(_tensor(value)).cpu() for name, value in held}


def agree(trial: Trial, plain: Callable[[Trial], Outcome], actual: Outcome, what: str = "") -> None:
    """Compare an outcome with that of a plain run, in everything that the plain one has.

    Args:
        trial: takes the comparisons.
        plain: gives the outcome that is to be met, of a trial that may have moved inputs.
        actual: the outcome under test.
        what: told before the name of each quantity.
    """
    expected, told = plain(trial), f"{what}, " if what else ""
    if all(name in actual and _same(actual[name], value) for name, value in expected.items()):
        for name, value in expected.items():
            trial.checker.equal(f"{told}{name}", actual[name], value)
        return
    near = [plain(_moved(trial, number)) for number in range(1, CHANGES + 1)]
    for name, value in expected.items():
        if name not in actual:
            trial.checker.true(f"{told}{name} is there", False, f"only {sorted(actual)} are")
            continue
        reach = _reach(trial, [each[name] for each in near if name in each], value)
        start = real(trial.problem.start[int(name.split()[-1])])
        old = start if name.startswith("parameter") and start.shape == value.shape else None
        judged = quantity(value.to(torch.float64), reach, old, trial.dtype)
        trial.checker.close(f"{told}{name}", actual[name], judged, trial.dtype, value)


def remade(trial: Trial, kind: Callable[[Problem], Problem]) -> dict[str, Tensor]:
    """What a run comes to on the same problem in another form, such as `Paired` or `Joined`."""
    twin = copy.copy(trial)
    twin.problem = kind(trial.problem)
    return outcome(followed(twin))


def followed(trial: Trial) -> Run:
    """A run that has taken the case's steps."""
    run = trial.run()
    for k in range(trial.case.steps):
        # One objective for all steps, where a step sees its curvature: others would throw the parameters far away.
        run.step(0 if trial.subject.closure else k)
    return run


def differ(one: Outcome, other: Outcome) -> bool:
    """Whether any quantity differs in any element; NaN equals NaN."""
    return any(not _same(value, other[name]) for name, value in one.items())


class _Shaken(Trial):
    """A trial whose parameters and states are moved by a spacing after each step, as rounding moves them."""

    def shake(self, number: int) -> None:
        """Begin, as the copy of this number."""
        self._rng = generator(self.case.seed, "shaken", number)

    def advance(self, optimizer: Any, closure: Callable[[], Tensor] | None = None) -> None:
        """See Trial."""
        super().advance(optimizer, closure)
        params = [param for group in optimizer.param_groups for param in group["params"]]
        states = [dict(optimizer.state[param]) for param in params if param in optimizer.state]
        with torch.no_grad():
            for tensor in [*params, *(leaf for _, leaf in nested.leaves(states))]:
                if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dim():
                    steps = torch.randint(-1, 2, tensor.shape, generator=self._rng).to(tensor)
                    tensor.add_(tensor * steps * torch.finfo(tensor.dtype).eps)


def _moved(trial: Trial, number: int) -> Trial:
    coarse = trial.subject.coarse.get("param")
    other = _Shaken(trial.subject, trial.implementation, trial.case, Checker(), trial.state_alias, trial.options)
    other.shake(number)
    other.problem = trial.problem.neighbour(number, dtype_of(coarse) if coarse else None)
    return other


def _reach(trial: Trial, near: list[Tensor], value: Tensor) -> Tensor:
    alike = [(each - value).abs().to(torch.float64) for each in near if each.shape == value.shape]
    if not alike or not value.numel():
        return torch.zeros(value.shape, dtype=torch.float64)
    reach = torch.stack(alike).amax(0).nan_to_num(nan=0.0, posinf=0.0)
    # Products of matrices spread one element's rounding over all.
    return reach.max().expand(value.shape) if trial.subject.coarse else reach


def _tensor(value: Tensor | float) -> Tensor:
    """As it is; a Python number would be rounded to the default dtype."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())
