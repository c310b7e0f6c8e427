"""Adagrad: one rule, compiled for CPU and GPU.

John Duchi, Elad Hazan, Yoram Singer: Adaptive Subgradient Methods for Online Learning and Stochastic Optimization,
2011, https://jmlr.org/papers/v12/duchi11a.html, figure 1 with diagonal matrices; the decay of the rate is PyTorch's.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.adagrad import AdagradBase
from .lang import Rule, constexpr, div, rule, sqrt
from .optimizer import FusedOptimizer


@rule
def prepare(step, lr, lr_decay, weight_decay, eps, MAXIMIZE: constexpr, DECAY: constexpr):
    """Scalars of one tensor and step, in float64."""
    # decayed learning rate
    rate = lr / (1.0 + (step - 1.0) * lr_decay)
    return rate, weight_decay, eps


@rule
def update(param, grad, sum, rate, weight_decay, eps, MAXIMIZE: constexpr, DECAY: constexpr):
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY:
        grad = grad + weight_decay * param
    # sum of squared gradients
    sum = sum + grad * grad
    # denominator
    denominator = sqrt(sum) + eps
    # step
    param = param - rate * div(grad, denominator)
    return param, sum


RULE = Rule(
    "adagrad",
    prepare,
    update,
    state=("sum",),
    hyper=("lr", "lr_decay", "weight_decay", "eps"),
    scalars=("rate", "weight_decay", "eps"),
    flags=("MAXIMIZE", "DECAY"),
)


class Adagrad(AdagradBase, FusedOptimizer):
    """Adagrad, all parameters in one launch.

    s = s + g*g, p = p - lr/(1 + (t - 1)*lr_decay) * g/(sqrt(s) + eps).

    Args: those of torch.optim.Adagrad.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients together with weight decay, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Adagrad(layer.parameters(), lr=0.1)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Duchi, Hazan and Singer, 2011, https://jmlr.org/papers/v12/duchi11a.html, as in torch.optim.Adagrad.
    """

    rule = RULE
    options = ("lr", "lr_decay", "weight_decay", "eps", "maximize")
    takes_sparse = True

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(float(group[name]) for name in self.options[:4])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return int(bool(group["maximize"])), int(bool(group["weight_decay"]))
