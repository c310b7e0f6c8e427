"""Adamax on torch._foreach_* ops.

Paper: Diederik P. Kingma, Jimmy Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980,
algorithm 2, with eps added to the gradient's magnitude.
"""

from typing import Any

import torch

from ..common.adamax import AdamaxBase
from .buckets import buckets
from .lists import Tensors, add, add_number_, constant, foreach_lists, read
from .scalars import add_quotients_, bias_correction, count, factors


class Adamax(AdamaxBase):
    """Adamax, each operation over all tensors of one device and dtype at once.

        m = beta1*m + (1 - beta1)*g
        u = max(beta2*u, |g| + eps)
        p = p - lr/(1 - beta1**t) * m/u

    t counts each parameter's own gradients. Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        betas: decay rates of the first moment and of the infinity norm, in [0, 1).
        eps: added to the gradient's magnitude.
        weight_decay: coefficient of the L2 penalty.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.
        differentiable: refused.
        capturable: keep the steps on the parameters' device, and never wait for it.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = Adamax(model.parameters(), lr=2e-3)
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithm 2 of https://arxiv.org/abs/1412.6980, arguments of torch.optim.Adamax.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, *columns in buckets(self, group, ("exp_avg", "exp_inf")):
                with foreach_lists(columns) as lists:
                    _adamax(steps, *lists, group=group)


def _adamax(
    steps: Tensors, params: Tensors, grads: Tensors, exp_avgs: Tensors, exp_infs: Tensors, *, group: dict[str, Any]
) -> None:
    first = params[0]
    device = first.device if group["capturable"] else None
    lr, (beta1, beta2) = read(group["lr"], device), group["betas"]
    ours = group["maximize"]
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # coupled weight decay: add weight_decay*p to the gradient
    if group["weight_decay"] != 0:
        grads, ours = add(grads, params, group["weight_decay"], in_place=ours), True
    # first moment
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    # infinity norm: the larger of its decayed self and the gradient
    torch._foreach_mul_(exp_infs, constant(beta2, first))
    if ours:
        torch._foreach_abs_(grads)
    else:
        grads = torch._foreach_abs(grads)
    add_number_(grads, group["eps"])
    torch._foreach_maximum_(exp_infs, grads)
    del grads
    # bias correction
    negative_step_size = -lr / bias_correction(count(steps, device), beta1)
    # step
    add_quotients_(params, exp_avgs, exp_infs, factors(negative_step_size, first, device))
