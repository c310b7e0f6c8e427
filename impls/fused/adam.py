"""Adam: one rule, compiled for CPU and GPU.

Diederik P. Kingma, Jimmy Ba: Adam: A Method for Stochastic Optimization, 2014, https://arxiv.org/abs/1412.6980, algorithm 1.
AMSGrad: Reddi, Kale, Kumar: On the Convergence of Adam and Beyond, 2018, https://openreview.net/forum?id=ryQu7f-RZ.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

from .lang import Rule, constexpr, div, expm1, log, maximum, rule, sqrt


@rule
def prepare(
    step, lr, beta1, beta2, eps, weight_decay, AMSGRAD: constexpr, MAXIMIZE: constexpr, DECAY: constexpr, DECOUPLED: constexpr
):
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
    exp_avg = exp_avg + one_minus_beta1 * (grad - exp_avg)
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
