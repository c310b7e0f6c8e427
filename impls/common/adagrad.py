"""Constructor, checks and state of Adagrad: everything but its arithmetic."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import SPARSE_DECAY, OptimizerBase, check, check_fused, check_lr


class AdagradBase(OptimizerBase):
    """Adagrad without its arithmetic.

    State of each parameter, made by the constructor: `step` (0-d, of this tensor's own count) and `sum` (shape, strides
    and dtype of the parameter). A parameter of a group added later gets it at its first gradient.

    Raises:
        ValueError: for a hyperparameter out of range, with its value, or differentiable=True.
        RuntimeError: for flags that exclude each other.

    Source: the constructor of torch.optim.Adagrad.
    """

    absent_options: ClassVar = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(lr_decay >= 0.0, "lr_decay value", lr_decay)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check(initial_accumulator_value >= 0.0, "initial_accumulator_value value", initial_accumulator_value)
        check(eps >= 0.0, "epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        self._check_flags(foreach=foreach, fused=fused, differentiable=differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                # without a state, what fused cannot mean is refused at the step, as torch refuses it
                if param.is_floating_point() or not group["fused"]:
                    self.state[param].update(self._init_state(param, group))

    def share_memory(self) -> None:
        """Move the sums of squares into memory that other processes share."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def refuses_sparse(self, group: dict[str, Any]) -> str | None:
        """See OptimizerBase."""
        return SPARSE_DECAY if group["weight_decay"] else None

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        check_fused(param, group)
        value = group["initial_accumulator_value"]
        if param.is_complex():
            value = complex(value, value)
        sums = torch.full_like(param, value, memory_format=torch.preserve_format, requires_grad=False)
        return {"step": self._scalar(param, group, 0.0), "sum": sums}
