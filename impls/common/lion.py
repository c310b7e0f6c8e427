"""Constructor, checks and state of Lion: everything but its arithmetic."""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import OptimizerBase, check, check_betas, check_fused, check_lr, zeros


class LionBase(OptimizerBase):
    """Lion without its arithmetic. torch.optim has no such optimizer.

    State of each parameter: `exp_avg` (shape, strides and dtype of the parameter).

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other.

    Source: algorithm 2 of https://arxiv.org/abs/2302.06675; arguments in the manner of torch.optim.AdamW.
    """

    scalar_state = ()
    sparse_refusal = "Lion does not support sparse gradients"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_betas(betas)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        self._check_flags(foreach=foreach, fused=fused, differentiable=differentiable)

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        check_fused(param, group)
        return zeros(param, "exp_avg")
