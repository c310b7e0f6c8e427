"""Constructor, checks and state of ASGD: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import LATER_OPTIONS, OptimizerBase, check, check_lr, zeros


class ASGDBase(OptimizerBase):
    """Averaged SGD without its arithmetic.

    State of each parameter: `step` (of this tensor's own count), `eta` and `mu`, all 0-d and on the parameter's device,
    and `ax` (shape, strides and dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.

    Source: the constructor of torch.optim.ASGD.
    """

    absent_options: ClassVar = LATER_OPTIONS
    scalar_state = ("step", "eta", "mu")
    scalar_state_on_device = True
    sparse_refusal = "ASGD does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)
        self._check_flags(differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        values = {"step": 0.0, "eta": float(group["lr"]), "mu": 1.0}
        return {name: self._scalar(param, group, value) for name, value in values.items()} | zeros(param, "ax")
