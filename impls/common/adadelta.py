"""Constructor, checks and state of Adadelta: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import LATER_OPTIONS, OptimizerBase, check, check_lr, zeros


class AdadeltaBase(OptimizerBase):
    """Adadelta without its arithmetic.

    State of each parameter: `step` (0-d, of this tensor's own count), `square_avg` and `acc_delta` (shape, strides and
    dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.

    Source: the constructor of torch.optim.Adadelta.
    """

    absent_options: ClassVar = LATER_OPTIONS
    sparse_refusal = "Adadelta does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 <= rho <= 1.0, "rho value", rho)
        check(eps >= 0.0, "epsilon value", eps)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)
        self._check_flags(differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        return {"step": self._scalar(param, group, 0.0)} | zeros(param, "square_avg", "acc_delta")
