"""Adamax: one rule, compiled for CPU and GPU.

Diederik P. Kingma, Jimmy Ba: Adam: A Method for Stochastic Optimization, 2014, https://arxiv.org/abs/1412.6980,
algorithm 2; eps is PyTorch's.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.adamax import AdamaxBase
from .lang import Rule, absolute, constexpr, div, expm1, log, maximum, rule, where
from .optimizer import FusedOptimizer


@rule
def prepare(step, lr, beta1, beta2, eps, weight_decay, MAXIMIZE: constexpr, DECAY: constexpr):
    """Scalars of one tensor and step, in float64."""
    # bias correction
    bias_correction = -expm1(step * log(beta1))
    step_size = lr / bias_correction
    one_minus_beta1 = 1.0 - beta1
    return one_minus_beta1, beta2, eps, weight_decay, step_size


@rule
def update(
    param, grad, exp_avg, exp_inf, one_minus_beta1, beta2, eps, weight_decay, step_size, MAXIMIZE: constexpr,
    DECAY: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY:
        grad = grad + weight_decay * param
    # first moment
    # from the nearer end, so that a beta1 of 0 leaves no rounding of the mean
    exp_avg = where(
        one_minus_beta1 < 0.5,
        exp_avg + one_minus_beta1 * (grad - exp_avg),
        grad - (1.0 - one_minus_beta1) * (grad - exp_avg),
    )
    # infinity norm: the larger of its decayed self and the gradient
    exp_inf = maximum(beta2 * exp_inf, absolute(grad) + eps)
    # step
    param = param - step_size * div(exp_avg, exp_inf)
    return param, exp_avg, exp_inf


RULE = Rule(
    "adamax",
    prepare,
    update,
    state=("exp_avg", "exp_inf"),
    hyper=("lr", "beta1", "beta2", "eps", "weight_decay"),
    scalars=("one_minus_beta1", "beta2", "eps", "weight_decay", "step_size"),
    flags=("MAXIMIZE", "DECAY"),
)


class Adamax(AdamaxBase, FusedOptimizer):
    """Adamax, all parameters in one launch.

    m = beta1*m + (1 - beta1)*g, u = max(beta2*u, |g| + eps), p = p - lr/(1 - beta1^t) * m/u.

    Args: those of torch.optim.Adamax.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Adamax(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980. The bias correction is computed in float64 by expm1.
    """

    rule = RULE
    options = ("lr", "betas", "eps", "weight_decay", "maximize")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return float(group["lr"]), float(beta1), float(beta2), float(group["eps"]), float(group["weight_decay"])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return int(bool(group["maximize"])), int(bool(group["weight_decay"]))
