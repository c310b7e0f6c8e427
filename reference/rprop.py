"""Rprop: every element has a step size of its own, and of its gradient only the sign counts.

Paper: Martin Riedmiller and Heinrich Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP
Algorithm", 1993, https://doi.org/10.1109/ICNN.1993.298623; it states no numbered algorithm. The form that PyTorch took
was later named iRprop-: Christian Igel and Michael Huesken, "Improving the Rprop Learning Algorithm", 2000.

Update rule of one element, from q = 0 and a step size d = lr:

    d = d*etaplus  where g*q > 0,  d*etaminus  where g*q < 0;  then  d = min(max(d, smallest), largest)
    g = 0          where g*q < 0
    p = p - d*sign(g)
    q = g

Where PyTorch departs from the paper:
- Where the sign has changed, the paper takes the last step back. Here p stays, which is all that iRprop- changes.
- The first step size is lr, 0.01 by default, where the paper takes 0.1. lr acts on that alone.
- d is clamped at every step, the first included: a lr outside of step_sizes counts as the nearer bound.
- maximize (g replaced by -g) is not in the paper.
- A step at which a parameter has no gradient leaves its state alone. The steps are counted, which changes nothing.
- A complex parameter is a pair of real ones, each with its own sign and step size.

Where this departs from PyTorch's code: it compares the signs of g and q, where PyTorch takes the sign of the product,
which is lost where that underflows; and with differentiable=True, PyTorch detaches the first step size from lr.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, count_step, new_scalar, scalar, view_as_real
from ._checks import check_tensor
from ._ops import addcmul_


def update(
    parameters: Iterable[tuple[Any, ...]], *, etaminus: float, etaplus: float, step_size_min: float,
    step_size_max: float, maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p, q and d of each parameter in place. g is the caller's and stays as it is."""
    for param, grad, prev, step_size in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # grow the step size where the sign held, shrink it where it changed
        #   d = d*etaplus where g*q > 0, d*etaminus where g*q < 0; then d = min(max(d, smallest), largest)
        agreement = grad.sign().mul_(prev.sign())
        changed = agreement < 0
        factor = torch.ones_like(agreement).masked_fill_(agreement > 0, etaplus).masked_fill_(changed, etaminus)
        step_size.mul_(factor).clamp_(step_size_min, step_size_max)

        # forget a gradient whose sign changed
        #   g = 0 where g*q < 0
        grad = grad.masked_fill(changed, 0)

        # step
        #   p = p - d*sign(g)
        # To autograd a sign is a constant: beside a variable it would keep step_size, which the next step overwrites.
        addcmul_(param, grad.sign().detach(), step_size, -1.0)

        # remember the gradient
        #   q = g
        prev.copy_(grad)


class Rprop(ReferenceOptimizer):
    """Rprop, drop-in for torch.optim.Rprop. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Rprop: lr >= 0 and step_sizes (smallest, largest) in units of the parameter; etas
        (etaminus, etaplus) with 0 < etaminus < 1 < etaplus. lr may be a 1-element tensor. foreach is kept and selects
        nothing.
    State: step []; prev (the last gradient) and step_size, shaped as the parameter.
    Raises: ValueError for a value out of its range.
    Example: `Rprop(model.parameters(), lr=1e-2).step()`, with gradients of the whole data set
    """

    _absent_options: ClassVar = {"capturable": False}
    _sparse_refusal = "Rprop does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        (etaminus, etaplus), (smallest, largest) = group["etas"], group["step_sizes"]
        bounds = {"step_size_min": smallest, "step_size_max": largest}
        return {"etaminus": etaminus, "etaplus": etaplus, **bounds, "maximize": group["maximize"]}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            state["prev"] = torch.zeros_like(param, memory_format=torch.preserve_format)
            state["step_size"] = torch.empty_like(grad)
            view_as_real(state["step_size"]).fill_(scalar(group["lr"], group))
        count_step(state, group)
        return state["prev"], state["step_size"]
