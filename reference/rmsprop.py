"""RMSprop: steps along the gradient, over the root of the running mean of its squares.

Sources: Tijmen Tieleman and Geoffrey Hinton, "Lecture 6.5 - rmsprop", 2012,
https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf, slide 29; it states no numbered algorithm.
Centered and with momentum: Alex Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
https://arxiv.org/abs/1308.0850, equations 38 to 41.

Update rule of one element, from v = a = b = 0:

    v = alpha*v + (1 - alpha)*g*g
    a = alpha*a + (1 - alpha)*g                      if centered, and max(v - a*a, 0) takes v's place below
    b = momentum*b + g/(sqrt(v) + eps)
    p = p - lr*b

Where PyTorch departs from the sources:
- The lecture has no eps; Graves adds it to v under the root, PyTorch to the root.
- Graves' momentum holds lr*g/sqrt(v): it keeps the lr of each past step, while a change of lr here rescales all of b.
- alpha is 0.99 by default, where the lecture takes 0.9 and Graves 0.95.
- weight_decay (added to the gradient) and maximize (g replaced by -g) are in neither.
- centered: where the gradients hardly vary, v - a*a may round to a number below 0, whose root PyTorch takes: NaN.
  Here it is 0 then.
- A step at which a parameter has no gradient leaves its state alone. The steps are counted, which changes nothing.
- A complex parameter is a pair of real ones: v holds the squares of both parts, not of the modulus.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, count_step, new_scalar
from ._checks import check_non_negative, check_tensor
from ._ops import Scalar, add, add_, addcdiv_, addcmul, addcmul_, lerp_, sqrt, sqrt_


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, alpha: Scalar, eps: float, weight_decay: Scalar,
    momentum: Scalar, centered: bool, maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p, v, a and b of each parameter in place. g is the caller's and stays as it is."""
    for param, grad, square_avg, grad_avg, momentum_buffer in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0:
            grad = add(grad, param, weight_decay)

        # mean of squared gradients
        #   v = alpha*v + (1 - alpha)*g*g
        addcmul_(square_avg.mul_(alpha), grad, grad, 1 - alpha)

        # centered: take the mean gradient's square off
        #   a = alpha*a + (1 - alpha)*g, and max(v - a*a, 0) takes v's place below
        if centered:
            lerp_(grad_avg, grad, 1 - alpha)
            square_avg = addcmul(square_avg, grad_avg, grad_avg, -1.0).clamp(min=0.0)

        # denominator
        #   d = sqrt(v) + eps
        denom = (sqrt_(square_avg) if centered else sqrt(square_avg)).add_(eps)

        # momentum
        #   b = momentum*b + g/d
        if momentum > 0:
            addcdiv_(momentum_buffer.mul_(momentum), grad, denom, 1.0)

        # step
        #   p = p - lr*b, or p = p - lr*g/d without momentum
        if momentum > 0:
            add_(param, momentum_buffer, -lr)
        else:
            addcdiv_(param, grad, denom, -lr)


class RMSprop(ReferenceOptimizer):
    """RMSprop, drop-in for torch.optim.RMSprop. The update rule and its source stand at the top of this module.

    Args: as torch.optim.RMSprop: lr >= 0 in units of the parameter, eps >= 0 in units of the gradient; alpha, momentum
        and weight_decay >= 0. lr may be a 1-element tensor. foreach is kept and selects nothing.
    State: step []; square_avg and, where asked for, momentum_buffer and grad_avg, shaped as the parameter.
    Raises: ValueError for a value out of its range.
    Example: `RMSprop(model.parameters(), lr=1e-2, momentum=0.9, centered=True).step()`
    """

    _absent_options: ClassVar = {"momentum": 0, "centered": False, "capturable": False}
    _sparse_refusal = "RMSprop does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({
            "learning rate": lr, "epsilon value": eps, "momentum value": momentum,
            "weight_decay value": weight_decay, "alpha value": alpha,
        })  # fmt: skip
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")
        return {name: group[name] for name in names}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        momentum, centered = group["momentum"] > 0, group["centered"]
        if not state:
            state["step"] = new_scalar(param, group)
            for name in ("square_avg", *["momentum_buffer"] * momentum, *["grad_avg"] * centered):
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        count_step(state, group)
        grad_avg = state["grad_avg"] if centered else None
        return state["square_avg"], grad_avg, state["momentum_buffer"] if momentum else None
