"""Averaged SGD: one rule, compiled for CPU and GPU.

Boris T. Polyak, Anatoli B. Juditsky: Acceleration of Stochastic Approximation by Averaging, 1992,
https://doi.org/10.1137/0330046, with the decaying rate of Leon Bottou: Large-Scale Machine Learning with Stochastic
Gradient Descent, 2010, as in PyTorch.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.asgd import ASGDBase
from .lang import Rule, constexpr, maximum, power, rule, where
from .optimizer import FusedOptimizer


@rule
def prepare(
    step, eta, mu, lr, lambd, alpha, t0, weight_decay, MAXIMIZE: constexpr, DECAY: constexpr, STORED: constexpr,
):  # fmt: skip
    """Scalars of one tensor and step, in float64."""
    rate = eta
    shrinkage = lambd * eta
    weight = mu
    averaging = where(mu == 1.0, 0.0, 1.0)
    # rate and weight of the next step
    eta = lr / power(1.0 + lambd * lr * step, alpha)
    mu = 1.0 / maximum(1.0, step - t0)
    return rate, weight_decay, shrinkage, weight, averaging, eta, mu


@rule
def update(
    param, grad, ax, rate, weight_decay, shrinkage, weight, averaging, MAXIMIZE: constexpr, DECAY: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY:
        grad = grad + weight_decay * param
    # decay: shrink the parameter by lambd*eta
    param = param - shrinkage * param
    # step
    param = param - rate * grad
    # average: copy the parameter until averaging starts, then move towards it
    ax = where(averaging > 0.5, ax + weight * (param - ax), param)
    return param, ax


RULE = Rule(
    "asgd",
    prepare,
    update,
    state=("ax",),
    hyper=("lr", "lambd", "alpha", "t0", "weight_decay"),
    scalars=("rate", "weight_decay", "shrinkage", "weight", "averaging"),
    flags=("MAXIMIZE", "DECAY"),
    tensor_state=("eta", "mu"),
    read_if={"ax": "averaging"},
)


class ASGD(ASGDBase, FusedOptimizer):
    """Averaged SGD, all parameters in one launch.

    p = (1 - lambd*eta)*p - eta*g, ax = ax + mu*(p - ax); then eta = lr/(1 + lambd*lr*t)^alpha and
    mu = 1/max(1, t - t0). As long as mu is 1, ax is written and not read.

    Args: those of torch.optim.ASGD.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = ASGD(layer.parameters(), lr=0.1, t0=100)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Polyak and Juditsky, 1992, https://doi.org/10.1137/0330046, as in torch.optim.ASGD.
    """

    rule = RULE
    options = ("lr", "lambd", "alpha", "t0", "weight_decay", "maximize")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(float(group[name]) for name in self.options[:5])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return int(bool(group["maximize"])), int(bool(group["weight_decay"]))
