"""Adam: steps along the first moment, scaled by the root of the second.

Papers: Diederik P. Kingma and Jimmy Ba, "Adam: A Method for Stochastic Optimization", 2014,
https://arxiv.org/abs/1412.6980, Algorithm 1. For amsgrad: Sashank J. Reddi, Satyen Kale and Sanjiv Kumar,
"On the Convergence of Adam and Beyond", 2018, https://arxiv.org/abs/1904.09237, Algorithm 2.

Update rule of one element at its step t = 1, 2, ..., from m = v = 0:

    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g*g
    p = p - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

Where PyTorch departs from the papers:
- weight_decay adds weight_decay*p to g or, with decoupled_weight_decay, acts as in AdamW; maximize replaces g by -g.
- amsgrad puts x = max(x, v) in v's place and keeps bias corrections and eps; Algorithm 2 has neither, and projects p.
- Every parameter counts its own t: a step at which it has no gradient does not count, and leaves its state alone.
- A complex parameter is a pair of real ones: v holds the squares of both parts, not of the modulus.
- Its code cancels in 1 - beta**t, in float32 if capturable or differentiable. Here expm1 keeps all of float64's digits.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step
from ._checks import check_betas, check_non_negative, check_tensor
from ._ops import Scalar, add, addcdiv_, addcmul_, lerp_, maximum_, one_minus_power


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: Scalar, beta1: Scalar, beta2: Scalar, eps: float,
    weight_decay: Scalar, amsgrad: bool, maximize: bool, decoupled_weight_decay: bool,
) -> None:  # fmt: skip
    """Update the tensors p, m, v, x of each parameter in place, at its step t. g is the caller's and stays as it is."""
    for param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step in parameters:
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

        # AMSGrad: keep the running maximum
        #   x = max(x, v), which takes the place of v below
        if amsgrad:
            exp_avg_sq = maximum_(max_exp_avg_sq, exp_avg_sq)

        # bias corrections
        #   c1 = 1 - beta1**t, c2 = 1 - beta2**t
        bias_correction1 = one_minus_power(beta1, step)
        bias_correction2 = one_minus_power(beta2, step)

        # denominator
        #   d = sqrt(v)/sqrt(c2) + eps
        denom = (exp_avg_sq.sqrt() / bias_correction2**0.5).add_(eps)

        # step
        #   p = p - lr/c1 * m/d
        addcdiv_(param, exp_avg, denom, -lr / bias_correction1)


class Adam(ReferenceOptimizer):
    """Adam, drop-in for torch.optim.Adam. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Adam: lr >= 0 in units of the parameter, eps >= 0 in units of the gradient, betas in [0, 1).
        lr and both betas may be 1-element tensors. foreach and fused are kept and select nothing.
    State: step []; exp_avg, exp_avg_sq and, with amsgrad, max_exp_avg_sq, shaped as the parameter.
    Raises: ValueError for a value out of its range; RuntimeError for flags that exclude each other.
    Example: `Adam(model.parameters(), lr=1e-3).step()`
    """

    _absent_options: ClassVar = {"amsgrad": False, "capturable": False, "decoupled_weight_decay": False, "fused": None}
    _sparse_refusal = "Adam does not support sparse gradients, please consider SparseAdam instead"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr, foreach=foreach, capturable=capturable)
        check_non_negative({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        betas = check_betas(betas, foreach=foreach, capturable=capturable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "amsgrad", "maximize", "decoupled_weight_decay")
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]:
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        max_exp_avg_sq = state["max_exp_avg_sq"] if group["amsgrad"] else None
        return state["exp_avg"], state["exp_avg_sq"], max_exp_avg_sq, next_step(state, group)
