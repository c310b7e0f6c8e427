"""RAdam: Adam whose steps are plain momentum until the second moment has seen enough, and are scaled up from there.

Paper: Liyuan Liu, Haoming Jiang, Pengcheng He, Weizhu Chen, Xiaodong Liu, Jianfeng Gao and Jiawei Han, "On the Variance
of the Adaptive Learning Rate and Beyond", 2020, https://arxiv.org/abs/1908.03265, Algorithm 2.

Update rule of one element at its step t = 1, 2, ..., from m = v = 0, for rho_inf = 2/(1 - beta2) - 1:

    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g*g
    rho = rho_inf - 2*t*beta2**t/(1 - beta2**t)
    r = sqrt((rho - 4)*(rho - 2)*rho_inf / ((rho_inf - 4)*(rho_inf - 2)*rho))
    p = p - lr * m/(1 - beta1**t) * r*sqrt(1 - beta2**t)/(sqrt(v) + eps)      where rho > 5
    p = p - lr * m/(1 - beta1**t)                                             elsewhere

Where PyTorch departs from the paper:
- The paper rectifies where rho > 4, where r may be as small as 0; PyTorch waits for rho > 5, as the authors' code does.
- The paper has no eps. Here it is added to sqrt(v) before the bias correction, so that it counts more in early steps.
- The paper prints 1/beta2 as the decay of v, a slip for beta2.
- weight_decay adds weight_decay*p to g or, with decoupled_weight_decay, acts as in AdamW, which is nearer to the
  authors' code; maximize replaces g by -g. The paper has neither.
- Every parameter counts its own t: a step at which it has no gradient does not count, and leaves its state alone.
- A complex parameter is a pair of real ones: v holds the squares of both parts, not of the modulus.
- Its code cancels in 1 - beta**t, in float32 if capturable, and rho inherits that. Here expm1 keeps the digits.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step
from ._checks import check_beta_range, check_non_negative, check_tensor
from ._ops import Scalar, add, add_, addcdiv_, addcmul_, lerp_, one_minus_power


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, beta1: Scalar, beta2: Scalar, eps: float,
    weight_decay: Scalar, maximize: bool, decoupled_weight_decay: bool,
) -> None:  # fmt: skip
    """Update the tensors p, m and v of each parameter in place, at its step t. g is the caller's and stays as it is."""
    for param, grad, exp_avg, exp_avg_sq, step in parameters:
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

        # first moment
        #   m = beta1*m + (1 - beta1)*g = m + (1 - beta1)*(g - m)
        lerp_(exp_avg, grad, 1 - beta1)

        # second moment
        #   v = beta2*v + (1 - beta2)*g*g
        addcmul_(exp_avg_sq.mul_(beta2), grad, grad, 1 - beta2)

        # bias corrections
        #   c1 = 1 - beta1**t, c2 = 1 - beta2**t
        bias_correction1 = one_minus_power(beta1, step)
        bias_correction2 = one_minus_power(beta2, step)

        # rectification, once the moving average is long enough
        #   rho = rho_inf - 2*t*beta2**t/c2
        #   d = (sqrt(v) + eps)/(r*sqrt(c2)) where rho > 5, else 1
        length_limit = 2 / (1 - beta2) - 1
        length = length_limit - 2 * step * beta2**step / bias_correction2
        rate = lr / bias_correction1
        denom = None
        if isinstance(length, Tensor):
            # Chosen where the tensor is, without reading it.
            rectified = length > 5
            rate *= torch.where(rectified, rectification(length, length_limit) * bias_correction2**0.5, 1.0)
            denom = torch.where(rectified, exp_avg_sq.sqrt() + eps, 1.0)
        elif length > 5:
            rate *= rectification(length, length_limit) * bias_correction2**0.5
            denom = exp_avg_sq.sqrt().add_(eps)

        # step
        #   p = p - lr/c1 * m/d
        if denom is None:
            add_(param, exp_avg, -rate)
        else:
            addcdiv_(param, exp_avg, denom, -rate)


def rectification(length: Scalar, limit: Scalar) -> Scalar:
    """r: how much smaller the adaptive rate's variance is for the full length than for this one, as a root."""
    return ((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)) ** 0.5


class RAdam(ReferenceOptimizer):
    """RAdam, drop-in for torch.optim.RAdam. The update rule and its source stand at the top of this module.

    Args: as torch.optim.RAdam: lr >= 0 in units of the parameter, eps >= 0 in units of the gradient, betas in [0, 1).
        lr may be a 1-element tensor. foreach is kept and selects nothing.
    State: step []; exp_avg and exp_avg_sq, shaped as the parameter.
    Raises: ValueError for a value out of its range.
    Example: `RAdam(model.parameters(), lr=1e-3).step()`
    """

    _absent_options: ClassVar = {"capturable": False, "decoupled_weight_decay": False}
    _sparse_refusal = "RAdam does not support sparse gradients"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        check_non_negative({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        check_beta_range(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "maximize", "decoupled_weight_decay")
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        return state["exp_avg"], state["exp_avg_sq"], next_step(state, group)
