"""Adam: one rule, compiled for CPU and GPU.

Diederik P. Kingma, Jimmy Ba: Adam: A Method for Stochastic Optimization, 2014, https://arxiv.org/abs/1412.6980,
algorithm 1.
AMSGrad: Reddi, Kale, Kumar: On the Convergence of Adam and Beyond, 2018, https://openreview.net/forum?id=ryQu7f-RZ.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.adam import AdamBase
from .lang import Rule, constexpr, div, expm1, log, maximum, rule, sqrt, where
from .optimizer import FusedOptimizer


@rule
def prepare(
    step, lr, beta1, beta2, eps, weight_decay, AMSGRAD: constexpr, MAXIMIZE: constexpr, DECAY: constexpr,
    DECOUPLED: constexpr,
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
    step_size = lr / bias_correction1
    inverse_root_correction2 = 1.0 / sqrt(bias_correction2)
    return one_minus_beta1, beta2, one_minus_beta2, eps, decay, step_size, inverse_root_correction2


@rule
def update(
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, one_minus_beta1, beta2, one_minus_beta2, eps, decay, step_size,
    inverse_root_correction2, AMSGRAD: constexpr, MAXIMIZE: constexpr, DECAY: constexpr, DECOUPLED: constexpr,
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
    largest = exp_avg_sq
    # AMSGrad: keep the running maximum
    if AMSGRAD:
        max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
        largest = max_exp_avg_sq
    # denominator
    denominator = sqrt(largest) * inverse_root_correction2 + eps
    # step
    param = param - step_size * div(exp_avg, denominator)
    return param, exp_avg, exp_avg_sq, max_exp_avg_sq


RULE = Rule(
    "adam",
    prepare,
    update,
    state=("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    hyper=("lr", "beta1", "beta2", "eps", "weight_decay"),
    scalars=(
        "one_minus_beta1", "beta2", "one_minus_beta2", "eps", "decay", "step_size", "inverse_root_correction2",
    ),
    flags=("AMSGRAD", "MAXIMIZE", "DECAY", "DECOUPLED"),
    optional={"max_exp_avg_sq": "AMSGRAD"},
)  # fmt: skip


class Adam(AdamBase, FusedOptimizer):
    """Adam, all parameters in one launch.

    m = beta1*m + (1 - beta1)*g, v = beta2*v + (1 - beta2)*g*g, p = p - lr/(1 - beta1^t) * m/(sqrt(v/(1 - beta2^t)) +
    eps), with coupled weight decay added to g, or decoupled (as AdamW does), and with AMSGrad v's running maximum in
    its place.

    Args: those of torch.optim.Adam.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Adam(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980. Bias corrections are computed in float64 by expm1.
    """

    rule = RULE
    options = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "decoupled_weight_decay")
    sparse_refusal = "Adam does not support sparse gradients, please consider SparseAdam instead"

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return float(group["lr"]), float(beta1), float(beta2), float(group["eps"]), float(group["weight_decay"])

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        names = ("amsgrad", "maximize", "weight_decay", "decoupled_weight_decay")
        return tuple(int(bool(group[name])) for name in names)
