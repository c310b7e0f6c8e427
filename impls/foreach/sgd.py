"""SGD with momentum on torch._foreach_* ops.

Paper: Ilya Sutskever, James Martens, George Dahl, Geoffrey Hinton, "On the importance of initialization and momentum in
deep learning", 2013, https://proceedings.mlr.press/v28/sutskever13.html, with the learning rate outside the buffer.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ..common.base import check_fused
from ..common.sgd import SGDBase
from .lists import Tensors, add, constant, foreach_lists, read


class SGD(SGDBase):
    """SGD, each operation over all tensors of one device, dtype and layout at once.

        b = momentum*b + (1 - dampening)*g        (b = g at the first gradient)
        p = p - lr*b                              (p = p - lr*(g + momentum*b) with nesterov)

    Sparse gradients are taken, without weight decay; their momentum buffer is sparse too.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step.
        momentum: decay rate of the buffer; 0 keeps none.
        dampening: share of the gradient that does not enter the buffer.
        weight_decay: coefficient of the L2 penalty.
        nesterov: look ahead along the buffer.
        maximize: ascend.
        foreach, fused: kept for interchange with torch; they do not change what is computed.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other, or, at a step, a sparse gradient with weight decay.

    Example:
        >>> optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> loss.backward()
        >>> optimizer.step()

    Source: https://proceedings.mlr.press/v28/sutskever13.html, arguments of torch.optim.SGD.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            buckets: dict[tuple[Any, ...], list[tuple[Tensor, ...]]] = defaultdict(list)
            fused, momentum, refusal = group["fused"], group["momentum"], self.refuses_sparse(group)
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if fused:
                    check_fused(param, group)
                if refusal is not None and grad.is_sparse:
                    raise RuntimeError(refusal)
                # sparse gradients get buckets of their own: one would keep all the others from the fast path
                if momentum == 0:
                    buckets[False, param.device, param.dtype, grad.dtype, grad.layout].append((param, grad))
                    continue
                buffer = self.state[param].get("momentum_buffer")
                fresh = buffer is None
                if fresh:
                    buffer = torch.empty_like(grad if grad.is_sparse else param)
                elif buffer.is_sparse and not grad.is_sparse:
                    buffer = self.state[param]["momentum_buffer"] = buffer.to_dense()
                elif grad.is_sparse and not buffer.is_sparse:
                    grad = grad.to_dense()
                key = (fresh, param.device, param.dtype, grad.dtype, grad.layout, buffer.dtype, buffer.layout)
                buckets[key].append((param, grad, buffer))
            for (fresh, *_), rows in buckets.items():
                with foreach_lists(list(zip(*rows, strict=True))) as lists:
                    _sgd(*lists, fresh=fresh, group=group)
                if fresh:
                    for param, _, buffer in rows:
                        self.state[param]["momentum_buffer"] = buffer


def _sgd(
    params: Tensors,
    grads: Tensors,
    buffers: Tensors | None = None,
    *,
    fresh: bool,
    group: dict[str, Any],
) -> None:
    lr, weight_decay = read(group["lr"], None), read(group["weight_decay"], None)
    ours = False
    # maximize: descend on -g
    if group["maximize"]:
        grads, ours = torch._foreach_neg(grads), True
    # coupled weight decay: add weight_decay*p to the gradient
    if weight_decay != 0:
        grads, ours = add(grads, params, weight_decay, in_place=ours), True
    if buffers is not None:
        # momentum buffer: the first step copies the gradient, without dampening
        if fresh:
            torch._foreach_copy_(buffers, grads)
        else:
            torch._foreach_mul_(buffers, constant(group["momentum"], params[0]))
            torch._foreach_add_(buffers, grads, alpha=1 - group["dampening"])
        # Nesterov: look ahead along the buffer
        grads = add(grads, buffers, group["momentum"], in_place=ours) if group["nesterov"] else buffers
    # step
    torch._foreach_add_(params, grads, alpha=-lr)
