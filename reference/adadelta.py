"""Adadelta: steps in the units of the parameter, scaled by the sizes of past steps and past gradients.

Paper: Matthew D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, https://arxiv.org/abs/1212.5701,
Algorithm 1.

Update rule of one element, from v = u = 0:

    v = rho*v + (1 - rho)*g*g
    d = sqrt(u + eps)/sqrt(v + eps) * g
    u = rho*u + (1 - rho)*d*d
    p = p - lr*d

Where PyTorch departs from the paper:
- The paper has no lr. Here it scales the step, and not the d whose square is averaged; the default 1.0 is the paper's.
- rho is 0.9 by default, where the paper's experiments take 0.95.
- weight_decay (added to the gradient) and maximize (g replaced by -g) are not in the paper.
- A step at which a parameter has no gradient leaves its state alone. The steps are counted, which changes nothing.
- A complex parameter is a pair of real ones: v and u hold the squares of both parts, not of the modulus.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, count_step, new_scalar
from ._checks import check_non_negative, check_tensor
from ._ops import Scalar, add, add_, addcmul_, sqrt_


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, rho: Scalar, eps: float, weight_decay: Scalar, maximize: bool
) -> None:
    """Update the tensors p, v and u of each parameter in place. g is the caller's and stays as it is."""
    for param, grad, square_avg, acc_delta in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0:
            grad = add(grad, param, weight_decay)

        # mean of squared gradients
        #   v = rho*v + (1 - rho)*g*g
        addcmul_(square_avg.mul_(rho), grad, grad, 1 - rho)

        # update: the gradient times the ratio of the two root mean squares
        #   d = sqrt(u + eps)/sqrt(v + eps) * g
        delta = sqrt_(acc_delta.add(eps)).div_(sqrt_(square_avg.add(eps))).mul_(grad)

        # mean of squared updates
        #   u = rho*u + (1 - rho)*d*d
        addcmul_(acc_delta.mul_(rho), delta, delta, 1 - rho)

        # step
        #   p = p - lr*d
        add_(param, delta, -lr)


class Adadelta(ReferenceOptimizer):
    """Adadelta, drop-in for torch.optim.Adadelta. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Adadelta: lr >= 0 has no unit, rho in [0, 1], eps >= 0 is added to squares of gradients and of
        parameters alike. lr may be a 1-element tensor. foreach is kept and selects nothing.
    State: step []; square_avg and acc_delta, shaped as the parameter.
    Raises: ValueError for a value out of its range.
    Example: `Adadelta(model.parameters()).step()`
    """

    _absent_options: ClassVar = {"capturable": False}
    _sparse_refusal = "Adadelta does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in ("lr", "rho", "eps", "weight_decay", "maximize")}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            for name in ("square_avg", "acc_delta"):
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        count_step(state, group)
        return state["square_avg"], state["acc_delta"]
