"""Lion on torch._foreach_* ops.

Paper: Xiangning Chen, Chen Liang, Da Huang, Esteban Real and others, "Symbolic Discovery of Optimization Algorithms",
2023, https://arxiv.org/abs/2302.06675, algorithm 2.
"""

from typing import Any

import torch

from ..common.lion import LionBase
from .buckets import buckets
from .lists import Tensors, constant, foreach_lists, read
from .scalars import add_scaled_


class Lion(LionBase):
    """Lion, each operation over all tensors of one device and dtype at once.

        p = p - lr*weight_decay*p
        p = p - lr*sign(beta1*m + (1 - beta1)*g)
        m = beta2*m + (1 - beta2)*g

    Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        betas: weights of the first moment in the interpolation and in its own mean, in [0, 1).
        weight_decay: shrinkage of the parameter, in units of lr, at each step.
        maximize: ascend.
        foreach, fused: kept for the likeness to torch; they do not change what is computed.
        capturable: never wait for the device.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other, or, at a step, a sparse gradient.

    Example:
        >>> optimizer = Lion(model.parameters(), lr=1e-4, weight_decay=0.1)
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithm 2 of https://arxiv.org/abs/2302.06675.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for columns in buckets(self, group, ("exp_avg",)):
                with foreach_lists(columns) as lists:
                    _lion(*lists, group=group)


def _lion(params: Tensors, grads: Tensors, exp_avgs: Tensors, *, group: dict[str, Any]) -> None:
    first = params[0]
    lr = read(group["lr"], first.device if group["capturable"] else None)
    beta1, beta2 = group["betas"]
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # decoupled weight decay: shrink the parameter by lr*weight_decay
    if group["weight_decay"] != 0:
        torch._foreach_mul_(params, constant(1 - lr * group["weight_decay"], first))
    # step: the sign of an interpolation
    directions = torch._foreach_lerp(exp_avgs, grads, 1 - beta1)
    torch._foreach_sign_(directions)
    add_scaled_(params, directions, -lr)
    # first moment
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta2)
