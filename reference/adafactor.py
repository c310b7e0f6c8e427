"""Adafactor: Adam's second moment at the cost of a row and a column, and steps relative to the parameter's own size.

Paper: Noam Shazeer and Mitchell Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
https://arxiv.org/abs/1804.04235, Algorithms 4 (matrices), 5 (vectors) and 6 (hyperparameters).

Update rule of a matrix p [rows, cols] at its step t = 1, 2, ..., from R = C = 0; `mean` and RMS are over all elements:

    w     = t**beta2_decay                                 one minus the decay rate
    alpha = max(eps2, RMS(p)) * min(lr, 1/sqrt(t))
    p     = (1 - lr*weight_decay) * p
    R     = (1 - w)*R + w*(mean of g*g along each row)     [rows, 1]
    C     = (1 - w)*C + w*(mean of g*g along each column)  [1, cols]
    V     = R*C / max(mean(R), eps1)                       of a vector instead: V = (1 - w)*V + w*g*g
    u     = g / max(sqrt(V), eps1)
    p     = p - alpha * u / max(1, RMS(u)/d)

Where PyTorch departs from the paper:
- lr takes the place of the constant 0.01 that bounds the relative step size from above, and multiplies weight_decay,
  which the paper does not have; alpha is relative to p before that decay.
- eps1 = 1e-30 is added to g*g in the paper. Here it bounds mean(R) and sqrt(V) from below, and is the epsilon of the
  dtype unless given: 1.2e-7 in float32, with which gradients below that size are no longer scaled up to 1.
- R and C are means, not sums. V is the same.
- Algorithm 4 is for matrices. Here a tensor of more dimensions is a stack of them, in its last two; RMS is over all.
- The paper's optional momentum is left out; maximize (g replaced by -g) is not in the paper.

Where this departs from PyTorch's code: every parameter has the epsilon of its own dtype, not that of the first in its
group; R is divided before it is multiplied by C, so that small gradients do not underflow, and squares are summed in
float32 where 16 bits would overflow; a parameter without elements is left alone, where PyTorch divides by zero.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import ParamsT, ReferenceOptimizer, new_scalar, next_step
from ._checks import check_tensor


def update(
    parameters: Iterable[tuple[Any, ...]], *, lr: float, beta2_decay: float, eps1: float | None, eps2: float,
    d: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """Update the tensors p and R, C or V of each parameter in place, at its step t. g is the caller's and stays."""
    for param, grad, row_var, col_var, variance, step in parameters:
        if param.numel() == 0:
            continue
        least = torch.finfo(param.dtype).eps if eps1 is None else eps1

        # maximize: descend on -g
        #   g = -g
        if maximize:
            grad = -grad

        # decay rate of the second moment
        #   w = t**beta2_decay = 1 - beta2
        weight = step**beta2_decay

        # The step is relative to the size before the decay.
        size = max(eps2, root_mean_square(param))

        # decoupled weight decay: shrink the parameter by lr*weight_decay
        #   p = (1 - lr*weight_decay) * p
        if weight_decay != 0:
            param.mul_(1 - lr * weight_decay)

        # step size
        #   alpha = max(eps2, RMS(p)) * min(lr, 1/sqrt(t))
        alpha = size * min(lr, step**-0.5)

        if grad.dim() > 1:
            # row and column means of the squared gradient
            #   R = (1 - w)*R + w*mean(g*g, along rows), C = (1 - w)*C + w*mean(g*g, along columns)
            for mean, dim in ((row_var, -1), (col_var, -2)):
                norm = torch.linalg.vector_norm(grad, dim=dim, keepdim=True, dtype=wide(grad.dtype))
                mean.lerp_(norm.square_().div_(grad.size(dim)).to(mean.dtype), weight)

            # rank-one estimate of the second moment
            #   V = R/max(mean(R), eps1) * C
            estimate = row_var / row_var.mean(dim=-2, keepdim=True).clamp_(min=least) * col_var
        else:
            # second moment
            #   V = (1 - w)*V + w*g*g
            estimate = variance.lerp_(grad * grad, weight).clone()

        # clip the update by its root mean square
        #   u = g/max(sqrt(V), eps1), at most d in the mean
        direction = estimate.clamp_(min=least * least).rsqrt_().mul_(grad)
        excess = max(1.0, root_mean_square(direction) / d)

        # step
        #   p = p - alpha*u/max(1, RMS(u)/d)
        param.add_(direction, alpha=-alpha / excess)


def root_mean_square(tensor: Tensor) -> float:
    """sqrt(mean(x*x)) over all elements."""
    return float(torch.linalg.vector_norm(tensor, dtype=wide(tensor.dtype)).item()) / tensor.numel() ** 0.5


def wide(dtype: torch.dtype) -> torch.dtype:
    """Where sums of squares are taken: their range is not that of 16 bits."""
    return torch.float32 if dtype.itemsize < 4 else dtype


class Adafactor(ReferenceOptimizer):
    """Adafactor, drop-in for torch.optim.Adafactor. The update rule and its source stand at the top of this module.

    Args: as torch.optim.Adafactor. lr >= 0 and eps[1] >= 0 bound the step relative to the parameter; beta2_decay <= 0;
        eps[0] >= 0, in units of the gradient, or None; d >= 1. lr may be a 1-element tensor. foreach selects nothing.
    State: step []; row_var [..., rows, 1] and col_var [..., 1, cols], or variance [cols] of a vector or a number.
    Raises: ValueError for a value out of its range; RuntimeError for a complex parameter or a sparse gradient.
    Example: `Adafactor(model.parameters()).step()`
    """

    _common_options: ClassVar = {"maximize": False, "foreach": None}
    _sparse_refusal = "Adafactor does not support sparse gradients"
    _complex_refusal = "Adafactor does not support complex parameters"
    _update = staticmethod(update)

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
        foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        check_tensor("lr", lr)
        # Written so that NaN is refused.
        for holds, rule, value in (
            (lr >= 0.0, "Learning rate should be >= 0", lr),
            (beta2_decay <= 0.0, "beta2_decay should be <= 0", beta2_decay),
            (eps[0] is None or eps[0] >= 0.0, "epsilon1 should be >= 0", eps[0]),
            (eps[1] >= 0.0, "epsilon2 should be >= 0", eps[1]),
            (d >= 1.0, "Clipping threshold d should be >= 1", d),
            (weight_decay >= 0.0, "weight_decay should be >= 0", weight_decay),
        ):
            if not holds:
                raise ValueError(f"{rule} but is: {value}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        })  # fmt: skip

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "beta2_decay", "d", "weight_decay", "maximize")
        return {"eps1": group["eps"][0], "eps2": group["eps"][1], **{name: group[name] for name in names}}

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        state = self.state[param]
        if not state:
            state["step"] = new_scalar(param, group)
            if grad.dim() > 1:
                *batch, rows, cols = grad.shape
                state["row_var"], state["col_var"] = grad.new_zeros(*batch, rows, 1), grad.new_zeros(*batch, 1, cols)
            else:
                state["variance"] = torch.zeros_like(grad, memory_format=torch.preserve_format)
        return *(state.get(name) for name in ("row_var", "col_var", "variance")), next_step(state, group)
