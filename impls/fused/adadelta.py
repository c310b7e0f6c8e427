"""Adadelta: one rule, compiled for CPU and GPU.

Matthew D. Zeiler: ADADELTA: An Adaptive Learning Rate Method, 2012, https://arxiv.org/abs/1212.5701, algorithm 1; the
learning rate is PyTorch's.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.adadelta import AdadeltaBase
from .lang import Rule, constexpr, div, rule, sqrt
from .optimizer import FusedOptimizer


@rule
def prepare(step, lr, rho, eps, weight_decay, MAXIMIZE: constexpr, DECAY: constexpr):
    """Scalars of one tensor and step, in float64."""
    one_minus_rho = 1.0 - rho
    return lr, rho, one_minus_rho, eps, weight_decay


@rule
def update(
    param, grad, square_avg, acc_delta, lr, rho, one_minus_rho, eps, weight_decay, MAXIMIZE: constexpr,
    DECAY: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY:
        grad = grad + weight_decay * param
    # mean of squared gradients
    square_avg = rho * square_avg + one_minus_rho * (grad * grad)
    # update: the gradient times the ratio of the two root mean squares
    delta = div(sqrt(acc_delta + eps), sqrt(square_avg + eps)) * grad
    # mean of squared updates
    acc_delta = rho * acc_delta + one_minus_rho * (delta * delta)
    # step
    param = param - lr * delta
    return param, square_avg, acc_delta


RULE = Rule(
    "adadelta",
    prepare,
    update,
    state=("square_avg", "acc_delta"),
    hyper=("lr", "rho", "eps", "weight_decay"),
    scalars=("lr", "rho", "one_minus_rho", "eps", "weight_decay"),
    flags=("MAXIMIZE", "DECAY"),
)


class Adadelta(AdadeltaBase, FusedOptimizer):
    """Adadelta, all parameters in one launch.

    v = rho*v + (1 - rho)*g*g, d = sqrt(u + eps)/sqrt(v + eps) * g, u = rho*u + (1 - rho)*d*d, p = p - lr*d.

    Args: those of torch.optim.Adadelta.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Adadelta(layer.parameters())
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Zeiler, 2012, https://arxiv.org/abs/1212.5701, as in torch.optim.Adadelta.
    """

    rule = RULE
    options = ("lr", "rho", "eps", "weight_decay", "maximize")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(float(group[name]) for name in self.options[:4])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return int(bool(group["maximize"])), int(bool(group["weight_decay"]))
