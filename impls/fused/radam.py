"""RAdam: one rule, compiled for CPU and GPU.

Liyuan Liu, Haoming Jiang, Pengcheng He, Weizhu Chen, Xiaodong Liu, Jianfeng Gao, Jiawei Han: On the Variance of the
Adaptive Learning Rate and Beyond, 2019, https://arxiv.org/abs/1908.03265, algorithm 2; rectified from a length of the
moving average of 5 on, as in PyTorch, and not of 4.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.radam import RAdamBase
from .lang import Rule, constexpr, div, expm1, log, rule, sqrt, where
from .optimizer import FusedOptimizer


@rule
def prepare(
    step, lr, beta1, beta2, eps, weight_decay, MAXIMIZE: constexpr, DECAY: constexpr, DECOUPLED: constexpr,
):  # fmt: skip
    """Scalars of one tensor and step, in float64."""
    # bias corrections
    bias_correction1 = -expm1(step * log(beta1))
    bias_correction2 = -expm1(step * log(beta2))
    decay = weight_decay
    if DECOUPLED:
        decay = lr * weight_decay
    one_minus_beta1 = 1.0 - beta1
    one_minus_beta2 = 1.0 - beta2
    # rectification, once the moving average is long enough
    longest = 2.0 / one_minus_beta2 - 1.0
    length = longest - 2.0 * step * (1.0 - bias_correction2) / bias_correction2
    numerator = (length - 4.0) * (length - 2.0) * longest
    rectification = sqrt(div(numerator, (longest - 4.0) * (longest - 2.0) * length))
    rectified = where(length > 5.0, 1.0, 0.0)
    step_size = lr / bias_correction1
    step_size = where(length > 5.0, step_size * rectification * sqrt(bias_correction2), step_size)
    return one_minus_beta1, beta2, one_minus_beta2, eps, decay, rectified, step_size


@rule
def update(
    param, grad, exp_avg, exp_avg_sq, one_minus_beta1, beta2, one_minus_beta2, eps, decay, rectified, step_size,
    MAXIMIZE: constexpr, DECAY: constexpr, DECOUPLED: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    if DECAY and DECOUPLED:
        param = param - decay * param
    # coupled weight decay: add weight_decay*p to the gradient
    if DECAY and not DECOUPLED:
        grad = grad + decay * param
    # first moment
    # from the nearer end, so that a beta1 of 0 leaves no rounding of the mean
    exp_avg = where(
        one_minus_beta1 < 0.5,
        exp_avg + one_minus_beta1 * (grad - exp_avg),
        grad - (1.0 - one_minus_beta1) * (grad - exp_avg),
    )
    # second moment
    exp_avg_sq = beta2 * exp_avg_sq + one_minus_beta2 * (grad * grad)
    # step
    direction = where(rectified > 0.5, div(exp_avg, sqrt(exp_avg_sq) + eps), exp_avg)
    param = param - step_size * direction
    return param, exp_avg, exp_avg_sq


RULE = Rule(
    "radam",
    prepare,
    update,
    state=("exp_avg", "exp_avg_sq"),
    hyper=("lr", "beta1", "beta2", "eps", "weight_decay"),
    scalars=("one_minus_beta1", "beta2", "one_minus_beta2", "eps", "decay", "rectified", "step_size"),
    flags=("MAXIMIZE", "DECAY", "DECOUPLED"),
)


class RAdam(RAdamBase, FusedOptimizer):
    """RAdam, all parameters in one launch.

    Adam's moments; p = p - lr * r * m/(1 - beta1^t) * sqrt(1 - beta2^t)/(sqrt(v) + eps), where r rectifies the
    variance of the rate, or p = p - lr * m/(1 - beta1^t) while the moving average is too short for that.

    Args: those of torch.optim.RAdam.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = RAdam(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Liu and others, 2019, https://arxiv.org/abs/1908.03265, as in torch.optim.RAdam. Bias corrections are
        computed in float64 by expm1.
    """

    rule = RULE
    options = ("lr", "betas", "eps", "weight_decay", "maximize", "decoupled_weight_decay")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return float(group["lr"]), float(beta1), float(beta2), float(group["eps"]), float(group["weight_decay"])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return tuple(int(bool(group[name])) for name in ("maximize", "weight_decay", "decoupled_weight_decay"))
