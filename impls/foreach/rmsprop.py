"""RMSprop on torch._foreach_* ops.

Source: Tijmen Tieleman, Geoffrey Hinton, "Lecture 6.5 - rmsprop", 2012,
https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; centered: Alex Graves, "Generating Sequences
With Recurrent Neural Networks", 2013, https://arxiv.org/abs/1308.0850, equations 38 to 41, with eps outside the root.
"""

from typing import Any

import torch

from ..common.rmsprop import RMSpropBase
from .buckets import buckets
from .lists import Tensors, add, add_number_, constant, foreach_lists, read
from .scalars import add_quotients_, add_scaled_


class RMSprop(RMSpropBase):
    """RMSprop, each operation over all tensors of one device and dtype at once.

        v = alpha*v + (1 - alpha)*g*g
        a = alpha*a + (1 - alpha)*g             (centered: max(v - a*a, 0) under the root, not v)
        p = p - lr * g/(sqrt(v) + eps)
        b = momentum*b + g/(sqrt(v) + eps)      (momentum: p = p - lr*b)

    Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a 1-element tensor is read at each step, and without a wait for its device if capturable.
        alpha: decay rate of the means.
        eps: added to the denominator.
        weight_decay: coefficient of the L2 penalty.
        momentum: decay rate of the buffer; 0 keeps none.
        centered: divide by an estimate of the standard deviation.
        capturable: keep the steps on the parameters' device, and never wait for it.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = RMSprop(model.parameters(), lr=0.01, momentum=0.9)
        >>> loss.backward()
        >>> optimizer.step()

    Source: the lecture above, arguments of torch.optim.RMSprop.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            optional = {"grad_avg": group["centered"], "momentum_buffer": group["momentum"] > 0}
            names = [name for name, wanted in optional.items() if wanted]
            for steps, params, grads, square_avgs, *columns in buckets(self, group, ["square_avg", *names]):
                add_number_(steps, 1.0)
                with foreach_lists([params, grads, square_avgs, *columns]) as (params, grads, square_avgs, *lists):
                    _rmsprop(params, grads, square_avgs, **dict(zip(names, lists, strict=True)), group=group)


def _rmsprop(
    params: Tensors,
    grads: Tensors,
    square_avgs: Tensors,
    *,
    grad_avg: Tensors | None = None,
    momentum_buffer: Tensors | None = None,
    group: dict[str, Any],
) -> None:
    first = params[0]
    lr, alpha = read(group["lr"], first.device if group["capturable"] else None), group["alpha"]
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # coupled weight decay: add weight_decay*p to the gradient
    if group["weight_decay"] != 0:
        grads = add(grads, params, group["weight_decay"], in_place=group["maximize"])
    # mean of squared gradients
    torch._foreach_mul_(square_avgs, constant(alpha, first))
    torch._foreach_addcmul_(square_avgs, grads, grads, 1 - alpha)
    # centered: take the mean gradient's square off
    if grad_avg is not None:
        torch._foreach_lerp_(grad_avg, grads, 1 - alpha)
        denominators = torch._foreach_addcmul(square_avgs, grad_avg, grad_avg, -1)
        # rounding may have left less than nothing
        torch._foreach_clamp_min_(denominators, 0.0)
        torch._foreach_sqrt_(denominators)
    else:
        denominators = torch._foreach_sqrt(square_avgs)
    # denominator
    add_number_(denominators, group["eps"])
    # momentum
    if momentum_buffer is not None:
        torch._foreach_mul_(momentum_buffer, constant(group["momentum"], first))
        torch._foreach_addcdiv_(momentum_buffer, grads, denominators)
    # step
    if momentum_buffer is not None:
        add_scaled_(params, momentum_buffer, -lr)
    else:
        add_quotients_(params, grads, denominators, -lr)
