"""Adagrad on torch._foreach_* ops.

Paper: John Duchi, Elad Hazan, Yoram Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
Optimization", 2011, https://jmlr.org/papers/v12/duchi11a.html, figure 1, with diagonal matrices, no projection, and a
learning rate that may decay.
"""

from typing import Any

import torch
from torch import Tensor

from ..common.adagrad import AdagradBase
from .buckets import buckets
from .lists import Tensors, add, add_number_, foreach_lists, read
from .scalars import add_quotients_, count, factors


class Adagrad(AdagradBase):
    """Adagrad, each operation over all tensors of one device, dtype and layout at once.

        s = s + g*g
        p = p - lr/(1 + (t - 1)*lr_decay) * g/(sqrt(s) + eps)

    t counts each parameter's own gradients. Sixteen-bit tensors are updated in their own dtype. Sparse gradients are
    taken, without weight decay: only the entries that they name are read and written.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step.
        lr_decay: decay of the learning rate.
        weight_decay: coefficient of the L2 penalty.
        initial_accumulator_value: the sums' first value.
        eps: added to the denominator.
        foreach, fused: kept for interchange with torch; they do not change what is computed.
        maximize: ascend.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other, or, at a step, a sparse gradient with weight decay.

    Example:
        >>> optimizer = Adagrad(model.parameters(), lr=0.01)
        >>> loss.backward()
        >>> optimizer.step()

    Source: figure 1 of https://jmlr.org/papers/v12/duchi11a.html, arguments of torch.optim.Adagrad.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, params, grads, sums in buckets(self, group, ("sum",)):
                if grads[0].is_sparse:
                    _sparse(steps, params, grads, sums, group=group)
                    continue
                with foreach_lists([params, grads, sums]) as lists:
                    _adagrad(steps, *lists, group=group)


def _adagrad(steps: Tensors, params: Tensors, grads: Tensors, sums: Tensors, *, group: dict[str, Any]) -> None:
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # coupled weight decay: add weight_decay*p to the gradient
    if group["weight_decay"] != 0:
        grads = add(grads, params, group["weight_decay"], in_place=group["maximize"])
    # decayed learning rate
    negative_rate = -read(group["lr"], None) / (1 + (count(steps, None) - 1) * group["lr_decay"])
    # sum of squared gradients
    torch._foreach_addcmul_(sums, grads, grads)
    # denominator
    denominators = torch._foreach_sqrt(sums)
    add_number_(denominators, group["eps"])
    # step
    add_quotients_(params, grads, denominators, factors(negative_rate, params[0], None))


def _sparse(steps: Tensors, params: Tensors, grads: Tensors, sums: Tensors, *, group: dict[str, Any]) -> None:
    """The same on the entries that sparse gradients name, fetched and put back."""
    # the update is not linear: an index that comes twice must be summed first
    coalesced = [grad.coalesce() for grad in grads]
    places = [grad.indices().unbind() for grad in coalesced]
    columns = [_fetch(params, places), [grad.values() for grad in coalesced], _fetch(sums, places)]
    with foreach_lists(columns) as lists:
        _adagrad(steps, *lists, group=group)
    for tensors, entries in ((params, columns[0]), (sums, columns[2])):
        for tensor, place, entry in zip(tensors, places, entries, strict=True):
            tensor.index_put_(place, entry)


def _fetch(tensors: Tensors, places: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return [tensor[place] for tensor, place in zip(tensors, places, strict=True)]
