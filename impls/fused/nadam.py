"""NAdam: one rule, compiled for CPU and GPU.

Timothy Dozat: Incorporating Nesterov Momentum into Adam, 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ,
algorithm 2, with the schedule of momentum that PyTorch has from the author's longer report.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.nadam import NAdamBase
from .lang import Rule, constexpr, div, expm1, log, power, rule, sqrt, stored_product, where
from .optimizer import FusedOptimizer


@rule
def prepare(
    step, mu_product, lr, beta1, beta2, eps, weight_decay, momentum_decay, base, MAXIMIZE: constexpr, DECAY: constexpr,
    DECOUPLED: constexpr, STORED: constexpr,
):  # fmt: skip
    """Scalars of one tensor and step, in float64."""
    decay = weight_decay
    if DECOUPLED:
        decay = lr * weight_decay
    # momentum of this step and the next, and the running product
    mu = beta1 * (1.0 - 0.5 * power(base, step * momentum_decay))
    mu_next = beta1 * (1.0 - 0.5 * power(base, (step + 1.0) * momentum_decay))
    mu_product = stored_product(mu_product, mu, STORED)
    grad_rate = lr * (1.0 - mu) / (1.0 - mu_product)
    momentum_rate = lr * mu_next / (1.0 - mu_product * mu_next)
    # bias correction
    bias_correction2 = -expm1(step * log(beta2))
    inverse_root_correction2 = 1.0 / sqrt(bias_correction2)
    one_minus_beta1 = 1.0 - beta1
    one_minus_beta2 = 1.0 - beta2
    return (
        one_minus_beta1, beta2, one_minus_beta2, eps, decay, grad_rate, momentum_rate, inverse_root_correction2,
        mu_product,
    )  # fmt: skip


@rule
def update(
    param, grad, exp_avg, exp_avg_sq, one_minus_beta1, beta2, one_minus_beta2, eps, decay, grad_rate, momentum_rate,
    inverse_root_correction2, MAXIMIZE: constexpr, DECAY: constexpr, DECOUPLED: constexpr,
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
    # denominator
    denominator = sqrt(exp_avg_sq) * inverse_root_correction2 + eps
    # step
    param = param - div(grad_rate * grad + momentum_rate * exp_avg, denominator)
    return param, exp_avg, exp_avg_sq


RULE = Rule(
    "nadam",
    prepare,
    update,
    state=("exp_avg", "exp_avg_sq"),
    hyper=("lr", "beta1", "beta2", "eps", "weight_decay", "momentum_decay", "base"),
    scalars=(
        "one_minus_beta1", "beta2", "one_minus_beta2", "eps", "decay", "grad_rate", "momentum_rate",
        "inverse_root_correction2",
    ),
    flags=("MAXIMIZE", "DECAY", "DECOUPLED"),
    tensor_state=("mu_product",),
)  # fmt: skip


class NAdam(NAdamBase, FusedOptimizer):
    """NAdam, all parameters in one launch.

    Adam's moments, with momentum mu_t = beta1*(1 - 0.96^(t*momentum_decay)/2) and the product M_t of mu_1 to mu_t;
    p = p - lr * ((1 - mu_t)/(1 - M_t)*g + mu_{t+1}/(1 - M_{t+1})*m)/(sqrt(v/(1 - beta2^t)) + eps).

    Args: those of torch.optim.NAdam.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = NAdam(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Dozat, 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ, as in torch.optim.NAdam. The bias
        correction is computed in float64 by expm1.
    """

    rule = RULE
    options = ("lr", "betas", "eps", "weight_decay", "momentum_decay", "maximize", "decoupled_weight_decay")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        rest = (group[name] for name in ("eps", "weight_decay", "momentum_decay"))
        # 0.96 is the schedule's own; a literal in the rule would be rounded to float32
        return float(group["lr"]), float(beta1), float(beta2), *map(float, rest), 0.96

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return tuple(int(bool(group[name])) for name in ("maximize", "weight_decay", "decoupled_weight_decay"))
