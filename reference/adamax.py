"""Adamax: Adam with a decayed maximum of the gradient's sizes in place of the root of its mean square.

Paper: Diederik P. Kingma and Jimmy Ba, "Adam: A Method for Stochastic Optimization", 2014,
https://arxiv.org/abs/1412.6980, Algorithm 2.

Update rule of one element at its step t = 1, 2, ..., from m = u = 0:

    m = beta1*m + (1 - beta1)*g
    u = max(beta2*u, abs(g) + eps)
    p = p - lr/(1 - beta1**t) * m/u

Where PyTorch departs from the paper:
- The paper has no eps. Here it is added to abs(g) inside the maximum, which keeps u above 0.
- weight_decay (added to the gradient) and maximize (g replaced by -g) are not in the paper.
- Every parameter counts its own t: a step at which it has no gradient does not count, and leaves its state alone.
- A complex parameter is a pair of real ones: u holds the sizes of both parts, not the modulus.
- Its code cancels in 1 - beta1**t, in float32 if capturable. Here expm1 keeps all of float64's digits.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step
from ._checks import check_beta_range, check_non_negative, check_tensor
from ._ops import Scalar, add, addcdiv_, lerp_, maximum_, one_minus_power


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, beta1: Scalar, beta2: Scalar, eps: float,
    weight_decay: Scalar, maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p, m and u of each parameter in place, at its step t. g is the caller's and stays as it is."""
    for param, grad, exp_avg, exp_inf, step in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0:
            grad = add(grad, param, weight_decay)

        # first moment
        #   m = beta1*m + (1 - beta1)*g = m + (1 - beta1)*(g - m)
        lerp_(exp_avg, grad, 1 - beta1)

        # infinity norm: the larger of its decayed self and the gradient
        #   u = max(beta2*u, abs(g) + eps)
        maximum_(exp_inf.mul_(beta2), grad.abs().add_(eps))

        # bias correction
        #   c1 = 1 - beta1**t
        bias_correction = one_minus_power(beta1, step)

        # step
        #   p = p - lr/c1 * m/u
        addcdiv_(param, exp_avg, exp_inf, -lr / bias_correction)


class Adamax(ReferenceOptimizer):
    """Adamax, drop-in for torch.optim.Adamax. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Adamax: lr >= 0 in units of the parameter, eps >= 0 in units of the gradient, betas in [0, 1).
        lr may be a 1-element tensor. foreach is kept and selects nothing.
    State: step []; exp_avg and exp_inf, shaped as the parameter.
    Raises: ValueError for a value out of its range.
    Example: `Adamax(model.parameters(), lr=2e-3).step()`
    """

    _absent_options: ClassVar = {"capturable": False}
    _sparse_refusal = "Adamax does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        check_beta_range(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "maximize")
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            for name in ("exp_avg", "exp_inf"):
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        return state["exp_avg"], state["exp_inf"], next_step(state, group)
