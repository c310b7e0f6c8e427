"""Constructor, checks and state of RMSprop: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import LATER_OPTIONS, OptimizerBase, check, check_lr, zeros


class RMSpropBase(OptimizerBase):
    """RMSprop without its arithmetic.

    State of each parameter: `step` (0-d, of this tensor's own count), `square_avg`, with momentum `momentum_buffer`,
    and if centered `grad_avg` (shape, strides and dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.

    Source: the constructor of torch.optim.RMSprop.
    """

    absent_options: ClassVar = {"momentum": 0, "centered": False} | LATER_OPTIONS
    sparse_refusal = "RMSprop does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, "epsilon value", eps)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(alpha >= 0.0, "alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
        self._check_flags(differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        names = ["square_avg"] + ["momentum_buffer"] * (group["momentum"] > 0) + ["grad_avg"] * bool(group["centered"])
        return {"step": self._scalar(param, group, 0.0)} | zeros(param, *names)
