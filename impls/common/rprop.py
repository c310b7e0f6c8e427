"""Constructor, checks and state of Rprop: everything but its arithmetic."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import LATER_OPTIONS, OptimizerBase, check, check_lr, zeros


class RpropBase(OptimizerBase):
    """Rprop without its arithmetic.

    State of each parameter: `step` (0-d, of this tensor's own count), `prev` and `step_size` (shape and strides of the
    parameter; `prev` has its dtype, `step_size` that of the first gradient). A complex `step_size` holds one step size
    for each part.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.

    Source: the constructor of torch.optim.Rprop.
    """

    absent_options: ClassVar = LATER_OPTIONS
    sparse_refusal = "Rprop does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 < etas[0] < 1.0 < etas[1], "eta values", f"{etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)
        self._check_flags(differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        assert param.grad is not None
        first = float(group["lr"])
        value = complex(first, first) if param.is_complex() else first
        step_size = torch.full_like(
            param, value, dtype=param.grad.dtype, memory_format=torch.preserve_format, requires_grad=False
        )
        return {"step": self._scalar(param, group, 0.0)} | zeros(param, "prev") | {"step_size": step_size}
