"""Constructor, checks and state of RAdam: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import LATER_OPTIONS, OptimizerBase, check, check_betas, check_lr, zeros


class RAdamBase(OptimizerBase):
    """RAdam without its arithmetic.

    State of each parameter: `step` (0-d, of this tensor's own count), `exp_avg` and `exp_avg_sq` (shape, strides and
    dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.

    Source: the constructor of torch.optim.RAdam.
    """

    absent_options: ClassVar = LATER_OPTIONS | {"decoupled_weight_decay": False}
    sparse_refusal = "RAdam does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, "epsilon value", eps)
        check_betas(betas)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
        self._check_flags(differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        return {"step": self._scalar(param, group, 0.0)} | zeros(param, "exp_avg", "exp_avg_sq")
