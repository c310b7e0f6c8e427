"""Constructor, checks and state of SGD: everything but its arithmetic."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .base import SPARSE_DECAY, OptimizerBase, check, check_one_element


class SGDBase(OptimizerBase):
    """SGD without its arithmetic.

    State of each parameter: `momentum_buffer` (shape and dtype of the parameter), only where momentum is not zero, and
    only from the first gradient on, of which it is a copy.

    Raises:
        ValueError: for a hyperparameter out of range, with its value.
        RuntimeError: for flags that exclude each other.

    Source: the constructor of torch.optim.SGD.
    """

    absent_options: ClassVar = {
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": False,
    }
    scalar_state = ()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_one_element("lr", lr)
        # torch lets NaN through here
        check(not lr < 0.0, "learning rate", lr)
        check(not momentum < 0.0, "momentum value", momentum)
        check(not weight_decay < 0.0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, "
                f"got momentum={momentum} and dampening={dampening}"
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        self._check_flags(foreach=foreach, fused=fused, differentiable=differentiable)

    def refuses_sparse(self, group: dict[str, Any]) -> str | None:
        """See OptimizerBase."""
        return SPARSE_DECAY if group["weight_decay"] else None
