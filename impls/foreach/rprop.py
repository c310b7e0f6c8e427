"""Rprop on torch._foreach_* ops.

Paper: Martin Riedmiller, Heinrich Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP
Algorithm", 1993, https://doi.org/10.1109/ICNN.1993.298623; where a gradient's sign changes, its parameter stays.
"""

from typing import Any

import torch

from ..common.rprop import RpropBase
from .buckets import buckets
from .lists import Tensors, add_number_, constant, foreach_lists


class Rprop(RpropBase):
    """Rprop, each operation over all tensors of one device and dtype at once.

        c = sign(g)*sign(b)
        s = s * (etaplus where c > 0, etaminus where c < 0), within the bounds on step sizes
        g = 0 where c < 0
        p = p - s*sign(g)
        b = g

    Sixteen-bit tensors are updated in their own dtype.

    Args:
        params: parameters, or groups of them.
        lr: first step size of each element; a 1-element tensor is read at a parameter's first step.
        etas: factors of the step size where the sign changed, in (0, 1), and where it held, over 1.
        step_sizes: smallest and largest step size.
        capturable: keep the steps on the parameters' device.
        foreach: kept for interchange with torch; it does not change what is computed.
        maximize: ascend.
        differentiable: refused.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: at a step, for a sparse gradient.

    Example:
        >>> optimizer = Rprop(model.parameters(), lr=0.01)
        >>> loss.backward()
        >>> optimizer.step()

    Source: https://doi.org/10.1109/ICNN.1993.298623, arguments of torch.optim.Rprop.
    """

    def _update(self) -> None:
        for group in self.param_groups:
            for steps, *columns in buckets(self, group, ("prev", "step_size")):
                add_number_(steps, 1.0)
                with foreach_lists(columns) as lists:
                    _rprop(*lists, group=group)


def _rprop(params: Tensors, grads: Tensors, prevs: Tensors, step_sizes: Tensors, *, group: dict[str, Any]) -> None:
    first = params[0]
    (etaminus, etaplus), (smallest, largest) = group["etas"], group["step_sizes"]
    # maximize: descend on -g
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    # grow the step size where the sign held, shrink it where it changed
    # signs are multiplied, because the product of two small gradients is zero
    held = torch._foreach_sign(prevs)
    torch._foreach_mul_(held, torch._foreach_sign(grads))
    # etaminus, 1 or etaplus, exactly: beyond 1 the slope of the line does not matter
    growth = torch._foreach_mul(held, constant(float(etaplus), first))
    add_number_(growth, 1.0)
    torch._foreach_clamp_min_(growth, etaminus)
    torch._foreach_clamp_max_(growth, etaplus)
    torch._foreach_mul_(step_sizes, growth)
    del growth
    torch._foreach_clamp_min_(step_sizes, smallest)
    torch._foreach_clamp_max_(step_sizes, largest)
    # forget a gradient whose sign changed
    zero = torch.zeros((), dtype=first.dtype, device=first.device)
    kept = [torch.where(torch.lt(change, zero), zero, grad) for change, grad in zip(held, grads, strict=True)]
    # step
    torch._foreach_addcmul_(params, torch._foreach_sign(kept), step_sizes, -1)
    # remember the gradient
    torch._foreach_copy_(prevs, kept)
