"""Adadelta on torch._foreach_* ops.

Paper: Matthew D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, https://arxiv.org/abs/1212.5701,
algorithm 1, with a learning rate before the update.
"""

from typing import Any

import torch

from ..common.adadelta import AdadeltaBase
from .buckets import buckets
from .lists import Tensors, add, add_number, add_number_, constant, foreach_lists, read
from .scalars import add_scaled_


class Adadelta(AdadeltaBase):
    """Adadelta, each operation over all tensors of one device and dtype at once.

        v = rho*v + (1 - rho)*g*g
        d = g * sqrt(u + eps) / sqrt(v + eps)
        u = rho*u + (1 - rho)*d*d
        p = p - lr*d

    Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        rho: decay rate of both means, in [0, 1].
        eps: added to both means under the root.
        weight_decay: coefficient of the L2 penalty.
        foreach: kept for interchange with torch; it does not change what is computed.
        capturable: keep the steps on the parameters' device, and never wait for it.
        maximize: ascend.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = Adadelta(model.parameters(), lr=1.0)
        >>> loss.backward()
        >>> optimizer.step()

    Source: algorithm 1 of https://arxiv.org/abs/1212.5701, arguments of torch.optim.Adadelta.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, *columns in buckets(self, group, ("square_avg", "acc_delta")):
                add_number_(steps, 1.0)
                with foreach_lists(columns) as lists:
                    _adadelta(*lists, group=group)


def _adadelta(
    params: Tensors, grads: Tensors, square_avgs: Tensors, acc_deltas: Tensors, *, group: dict[str, Any]
) -> None:
    first = params[0]
    lr = read(group["lr"], first.device if group["capturable"] else None)
    rho, eps = group["rho"], group["eps"]
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # coupled weight decay: add weight_decay*p to the gradient
    if group["weight_decay"] != 0:
        grads = add(grads, params, group["weight_decay"], in_place=group["maximize"])
    # mean of squared gradients
    torch._foreach_mul_(square_avgs, constant(rho, first))
    torch._foreach_addcmul_(square_avgs, grads, grads, 1 - rho)
    # update: the gradient times the ratio of the two root mean squares
    roots = add_number(square_avgs, eps)
    torch._foreach_sqrt_(roots)
    deltas = add_number(acc_deltas, eps)
    torch._foreach_sqrt_(deltas)
    torch._foreach_div_(deltas, roots)
    torch._foreach_mul_(deltas, grads)
    del grads, roots
    # mean of squared updates
    torch._foreach_mul_(acc_deltas, constant(rho, first))
    torch._foreach_addcmul_(acc_deltas, deltas, deltas, 1 - rho)
    # step
    add_scaled_(params, deltas, -lr)
