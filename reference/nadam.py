"""NAdam: Adam whose momentum looks ahead, as Nesterov's does.

Paper: Timothy Dozat, "Incorporating Nesterov Momentum into Adam", 2016,
https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ, Algorithm 2.

Update rule of one element at its step t = 1, 2, ..., from m = v = 0 and a product P = 1, for
mu(t) = beta1*(1 - 0.5*0.96**(t*momentum_decay)):

    P = P*mu(t)
    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g*g
    n = (1 - mu(t))*g/(1 - P) + mu(t + 1)*m/(1 - P*mu(t + 1))
    p = p - lr * n / (sqrt(v / (1 - beta2**t)) + eps)

Where PyTorch departs from the paper:
- The paper decays m by mu(t) too, PyTorch by beta1 alone.
- The paper corrects v to beta2*v/(1 - beta2**t), PyTorch as Adam does, without that beta2.
- The paper leaves mu(t) open and uses the one above with t/250: the default momentum_decay of 4e-3.
- weight_decay adds weight_decay*p to g or, with decoupled_weight_decay, acts as in AdamW; maximize replaces g by -g.
- Every parameter counts its own t: a step at which it has no gradient does not count, and leaves its state alone.
- P is kept in the default dtype, and mu(t) is rounded to that before it multiplies. The step uses P as it is kept.
- A complex parameter is a pair of real ones: v holds the squares of both parts, not of the modulus.
- Its code cancels in 1 - beta2**t, in float32 if capturable. Here expm1 keeps all of float64's digits.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step
from ._checks import check_beta_range, check_non_negative, check_tensor
from ._ops import Scalar, add, addcdiv_, addcmul_, lerp_, multiply_, one_minus_power, sqrt_


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, beta1: Scalar, beta2: Scalar, eps: float,
    weight_decay: Scalar, momentum_decay: Scalar, maximize: bool, decoupled_weight_decay: bool,
) -> None:  # fmt: skip
    """Update p, m, v and P of each parameter in place, at its step t. g is the caller's and stays as it is."""
    for param, grad, exp_avg, exp_avg_sq, mu_product, step in parameters:
        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # decoupled weight decay: shrink the parameter by lr*weight_decay
        #   p = (1 - lr*weight_decay) * p
        if weight_decay != 0 and decoupled_weight_decay:
            param.mul_(1 - lr * weight_decay)

        # coupled weight decay: add weight_decay*p to the gradient
        #   g = g + weight_decay*p
        if weight_decay != 0 and not decoupled_weight_decay:
            grad = add(grad, param, weight_decay)

        # momentum of this step and the next, and the running product
        #   mu(t) = beta1*(1 - 0.5*0.96**(t*momentum_decay)), P = P*mu(t)
        momentum = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
        next_momentum = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
        product = multiply_(mu_product, momentum)

        # first moment
        #   m = beta1*m + (1 - beta1)*g = m + (1 - beta1)*(g - m)
        lerp_(exp_avg, grad, 1 - beta1)

        # second moment
        #   v = beta2*v + (1 - beta2)*g*g
        addcmul_(exp_avg_sq.mul_(beta2), grad, grad, 1 - beta2)

        # bias correction
        #   c2 = 1 - beta2**t
        bias_correction = one_minus_power(beta2, step)

        # denominator
        #   d = sqrt(v/c2) + eps
        denom = sqrt_(exp_avg_sq / bias_correction).add_(eps)

        # step
        #   p = p - lr*(1 - mu(t))/(1 - P) * g/d - lr*mu(t + 1)/(1 - P*mu(t + 1)) * m/d
        addcdiv_(param, grad, denom, -lr * (1 - momentum) / (1 - product))
        addcdiv_(param, exp_avg, denom, -lr * next_momentum / (1 - product * next_momentum))


class NAdam(ReferenceOptimizer):
    """NAdam, drop-in for torch.optim.NAdam. The update rule and its source stand at the top of this module.

    Args: as torch.optim.NAdam: lr >= 0 in units of the parameter, eps >= 0 in units of the gradient, betas in [0, 1),
        weight_decay and momentum_decay >= 0. lr may be a 1-element tensor. foreach is kept and selects nothing.
    State: step and mu_product []; exp_avg and exp_avg_sq, shaped as the parameter.
    Raises: ValueError for a value out of its range.
    Example: `NAdam(model.parameters(), lr=2e-3).step()`
    """

    _absent_options: ClassVar = {"capturable": False, "decoupled_weight_decay": False}
    _scalar_entries = ("step", "mu_product")
    _sparse_refusal = "NAdam does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({
            "learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay,
            "momentum_decay value": momentum_decay,
        })  # fmt: skip
        check_beta_range(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "momentum_decay", "maximize", "decoupled_weight_decay")
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            state["mu_product"] = new_scalar(param, group, 1.0)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        return state["exp_avg"], state["exp_avg_sq"], state["mu_product"], next_step(state, group)
