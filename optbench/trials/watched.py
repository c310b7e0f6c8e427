"""Optimizers that call their closure several times a step, at work on smooth functions, watched at every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optbench.trials.error import real
from optbench.trials.optimizers import Trial
from optbench.trials.problem import dtype_of, generator
from optbench.trials.running import StateUnknown

# Of a vector in float64 the value and the gradient.
Function = Callable[[Tensor], tuple[Tensor, Tensor]]


def _quadratic(x: Tensor) -> tuple[Tensor, Tensor]:
    """Convex, with curvatures from 1/10 to 10 along directions that are no axes."""
    n = len(x)
    directions, _ = torch.linalg.qr(torch.randn(n, n, generator=generator("quadratic"), dtype=torch.float64))
    hessian = (directions * torch.logspace(-1, 1, n, dtype=torch.float64)) @ directions.T
    return x @ hessian @ x / 2, hessian @ x


def _shallow(x: Tensor) -> tuple[Tensor, Tensor]:
    """A quadratic whose loss changes much less than its parameters do."""
    value, grad = _quadratic(x)
    return value / 256, grad / 256


def _rosenbrock(x: Tensor) -> tuple[Tensor, Tensor]:
    """A curved valley."""
    bend, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    grad = torch.zeros_like(x)
    grad[1:] = 20 * bend
    grad[:-1] -= 40 * bend * x[:-1] + 2 * slope
    return (10 * bend**2 + slope**2).sum(), grad


def _wells(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two minima along every axis and a hill between them, where the curvature is negative."""
    return (x**4 / 4 - x**2 / 2 + x / 10).sum(), x**3 - x + 0.1


FUNCTIONS: dict[str, Function] = {
    "quadratic": _quadratic, "shallow": _shallow, "rosenbrock": _rosenbrock, "wells": _wells,
}  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """What the closure saw and gave: parameters and gradient as one vector each, in float64 as the dtype holds them."""

    at: Tensor
    loss: float
    grad: Tensor
    grad_enabled: bool


class Watched:
    """An optimizer of the implementation under test on one of `FUNCTIONS`, its parameters joined to one vector.

    Args:
        trial: whose case's problem gives the start.
        function: name of the function.
        options: beside the case's.
    """

    def __init__(self, trial: Trial, function: str, options: Mapping[str, Any] | None = None) -> None:
        self.trial, self.function = trial, FUNCTIONS[function]
        self.params = [trial.problem.place_param(values).tensor for values in trial.problem.start]
        self.optimizer = trial.build(self.params, {**trial.case.options, **(options or {})})
        self.returned: list[Tensor] = []
        # The largest of all coordinates and of all gradients that were met: what differences of them are rounded by.
        self.farthest = self.largest = 0.0

    @property
    def group(self) -> dict[str, Any]:
        """Its only group, with the options as they are."""
        group: dict[str, Any] = self.optimizer.param_groups[0]
        return group

    @property
    def at(self) -> Tensor:
        """The parameters as one vector, in float64 on the CPU."""
        return self._joined(self.params)

    def state(self, name: str) -> Any:
        """An entry of the state; None before the first step.

        Raises:
            StateUnknown: of foreign code, which keeps something else.
        """
        alias = self.trial.state_alias
        kept = {alias.get(key, key): value for key, value in self.optimizer.state.get(self.params[0], {}).items()}
        if kept and name not in kept and self.trial.implementation.target:
            raise StateUnknown(name)
        return kept.get(name)

    def step(self) -> tuple[Any, list[Evaluation]]:
        """Take a step: what it returned, and its evaluations in order."""
        seen: list[Evaluation] = []
        self.returned = []

        def closure() -> Tensor:
            at = self.at
            value, grad = self.function(at)
            parts = grad.split([real(param).numel() for param in self.params])
            for param, part in zip(self.params, parts, strict=True):
                param.grad = part.view(real(param).shape).to(param.device, param.dtype)
            loss = value.to(self.params[0].dtype)
            held = self._joined([param.grad for param in self.params])
            seen.append(Evaluation(at, float(loss), held, torch.is_grad_enabled()))
            self.farthest = max(self.farthest, float(at.abs().max()))
            self.largest = max(self.largest, float(held.abs().max()))
            self.returned.append(loss)
            return loss

        return self.optimizer.step(closure), seen

    @staticmethod
    def _joined(tensors: list[Any]) -> Tensor:
        flat = [real(tensor.detach()).reshape(-1) for tensor in tensors]
        return torch.cat(flat).to("cpu", torch.float64)


def vector(kept: Any) -> Tensor:
    """A tensor or a number of the state in float64 on the CPU."""
    return torch.as_tensor(kept, dtype=torch.float64, device="cpu").detach()


def slack(trial: Trial, size: float) -> float:
    """What rounding may do to a number of this size in the case's dtype."""
    return 16 * torch.finfo(dtype_of(trial.case.dtype)).eps * abs(size)
