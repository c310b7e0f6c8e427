"""Lion: one rule, compiled for CPU and GPU.

Xiangning Chen, Chen Liang, Da Huang, Esteban Real, Kaiyuan Wang, Yao Liu, Hieu Pham, Xuanyi Dong, Thang Luong, Cho-Jui
Hsieh, Yifeng Lu, Quoc V. Le: Symbolic Discovery of Optimization Algorithms, 2023, https://arxiv.org/abs/2302.06675,
algorithm 2.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

from ..common.lion import LionBase
from .lang import Rule, constexpr, rule, sign
from .optimizer import FusedOptimizer


@rule
def prepare(step, lr, beta1, beta2, weight_decay, MAXIMIZE: constexpr, DECAY: constexpr):
    """Scalars of one tensor and step, in float64."""
    decay = lr * weight_decay
    one_minus_beta1 = 1.0 - beta1
    one_minus_beta2 = 1.0 - beta2
    return lr, decay, beta1, one_minus_beta1, beta2, one_minus_beta2


@rule
def update(
    param, grad, exp_avg, lr, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, MAXIMIZE: constexpr,
    DECAY: constexpr,
):  # fmt: skip
    """One element."""
    # maximize: descend on -g
    if MAXIMIZE:
        grad = -grad
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    if DECAY:
        param = param - decay * param
    # step: the sign of an interpolation
    param = param - lr * sign(beta1 * exp_avg + one_minus_beta1 * grad)
    # first moment
    exp_avg = beta2 * exp_avg + one_minus_beta2 * grad
    return param, exp_avg


RULE = Rule(
    "lion",
    prepare,
    update,
    state=("exp_avg",),
    hyper=("lr", "beta1", "beta2", "weight_decay"),
    scalars=("lr", "decay", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2"),
    flags=("MAXIMIZE", "DECAY"),
    stores_step=False,
)


class Lion(LionBase, FusedOptimizer):
    """Lion, all parameters in one launch.

    p = p - lr*weight_decay*p - lr*sign(beta1*m + (1 - beta1)*g), m = beta2*m + (1 - beta2)*g.

    Args:
        params: parameters, or groups of them.
        lr: step size; as every element moves by lr, a third to a tenth of Adam's.
        betas: what of the running mean enters the step, and what of it stays.
        weight_decay: decoupled; for the same strength, three to ten times Adam's.
        maximize: ascend instead of descend.

    Raises:
        ValueError: for a hyperparameter out of range, and for differentiable=True.
        RuntimeError: for sparse gradients, and on a GPU without Triton.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = Lion(layer.parameters(), lr=1e-3, weight_decay=0.1)
        >>> layer(torch.ones(2)).sum().backward()
        >>> optimizer.step()

    Source: Chen and others, 2023, https://arxiv.org/abs/2302.06675, algorithm 2.
    """

    rule = RULE
    options = ("lr", "betas", "weight_decay", "maximize")

    def hyper(self, group: dict[str, Any]) -> tuple[float, ...]:
        return tuple(map(float, (group["lr"], *group["betas"], group["weight_decay"])))

    def flags(self, group: dict[str, Any]) -> tuple[int, ...]:
        return int(bool(group["maximize"])), int(bool(group["weight_decay"]))
