"""SparseAdam: Adam for embeddings, which steps the rows that a sparse gradient holds and leaves all others alone.

Paper: Diederik P. Kingma and Jimmy Ba, "Adam: A Method for Stochastic Optimization", 2014,
https://arxiv.org/abs/1412.6980, Algorithm 1, in the order of computation given at the end of its section 2.

Update rule of a row of p, m and v that the gradient holds, at step t = 1, 2, ... of the parameter, from m = v = 0:

    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g*g
    p = p - lr * sqrt(1 - beta2**t)/(1 - beta1**t) * m / (sqrt(v) + eps)

Where PyTorch departs from the paper:
- The paper decays the moments of every element at every step. Here those of an absent row stand still, as does p.
- t counts the steps of the parameter, not of the row, also steps whose gradient holds no row at all. A row that comes
  late finds its zeros of moments taken for means of many gradients: its first step may be as long as
  lr*(1 - beta1)/sqrt(1 - beta2), which is 3.2*lr with the default betas.
- Rows are absent if they are not stored; a stored zero is a gradient of zero, and decays its moments.
- eps is added to sqrt(v) before bias correction: the paper's eps-hat. torch's Adam adds it after.
- maximize, which replaces g by -g, is not in the paper; there is no weight decay and no amsgrad.
- Its code cancels in 1 - beta**t. Here expm1 keeps all of float64's digits.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, scalar
from ._checks import check_beta_range, check_tensor
from ._ops import one_minus_power


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: float, beta1: float, beta2: float, eps: float, maximize: bool
) -> None:
    """Update the touched rows of p, m, v of each parameter in place. g is the caller's and stays as it is."""
    for param, grad, exp_avg, exp_avg_sq, step in parameters:
        # coalesce: one row an index
        #   g = the sum of the stored rows of each index, in rows
        grad = grad.coalesce()
        # One index tensor for each sparse dimension. Without any, the whole parameter is the one row.
        rows = tuple(grad.indices()) or (None,)
        grad = grad.values()
        if grad.numel() == 0:
            continue

        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # first moment
        #   m = beta1*m + (1 - beta1)*g = m + (1 - beta1)*(g - m)
        first_moment = exp_avg[rows].lerp_(grad, 1 - beta1)
        exp_avg[rows] = first_moment

        # second moment
        #   v = beta2*v + (1 - beta2)*g*g
        second_moment = exp_avg_sq[rows].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        exp_avg_sq[rows] = second_moment

        # bias corrections
        #   c1 = 1 - beta1**t, c2 = 1 - beta2**t
        bias_correction1 = one_minus_power(beta1, step)
        bias_correction2 = one_minus_power(beta2, step)

        # denominator
        #   d = sqrt(v) + eps
        denom = second_moment.sqrt().add_(eps)

        # step
        #   p = p - lr*sqrt(c2)/c1 * m/d
        step_size = lr * bias_correction2**0.5 / bias_correction1
        param[rows] = param[rows].addcdiv_(first_moment, denom, value=-step_size)


class SparseAdam(ReferenceOptimizer):
    """SparseAdam, drop-in for torch.optim.SparseAdam. The update rule and its source stand at the top of this module.

    Args: as torch.optim.SparseAdam. lr > 0 is in units of the parameter, eps > 0 in units of the gradient, betas are in
        [0, 1). lr may be a 1-element tensor. Parameters are dense and real, gradients sparse (COO).
    State: step, a Python int; exp_avg and exp_avg_sq, shaped as the parameter and as dense.
    Raises: ValueError for a value out of its range, a sparse or a complex parameter; RuntimeError for a dense gradient.
    Example: `SparseAdam(torch.nn.Embedding(1000, 64, sparse=True).parameters()).step()`
    """

    _common_options: ClassVar = {"maximize": False}
    _scalar_entries: ClassVar = ()
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        for name, value in (("learning rate", lr), ("epsilon value", eps)):
            if not value > 0.0:
                raise ValueError(f"Invalid {name}: {value}")
        check_beta_range(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        for index, param in enumerate(param for group in self.param_groups for param in group["params"]):
            if param.is_sparse:
                raise ValueError(f"Parameter {index} is sparse: SparseAdam requires dense parameter tensors")
            if param.is_complex():
                raise ValueError(f"Parameter {index} is complex: SparseAdam does not support complex parameters")

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "eps", "maximize")
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
        state["step"] += 1
        return state["exp_avg"], state["exp_avg_sq"], scalar(state["step"], group)

    def _refuse_sparse(self, group: dict[str, Any]) -> None:
        if any(param.grad is not None and not param.grad.is_sparse for param in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
